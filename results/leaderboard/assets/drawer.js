// The provenance drawer: one dialog per page, filled when it is opened.
"use strict";

const drawer = document.querySelector(".drawer");

async function openDrawer(run) {
  const { make, load, root } = leaderboard;
  const body = drawer.querySelector(".drawer-body");
  body.replaceChildren(make("p", { class: "quiet-text" }, "Loading …"));
  drawer.showModal();
  try {
    const data = await load(`runs/${run}/run`);
    drawer.querySelector("h2").textContent = data.label;
    const list = make("dl", { class: "provenance" });
    for (const [name, text] of data.provenance) {
      const long = text.includes("\n") || name === "Reproduce";
      list.append(make("div", {}, make("dt", {}, name), make("dd", {}, long ? make("pre", {}, text) : text)));
    }
    if (data.entry) {
      const link = make("a", { href: root + data.entry, download: "" }, data.entry.split("/").at(-1));
      list.append(make("div", {}, make("dt", {}, "Entry"), make("dd", {}, link)));
    }
    body.replaceChildren(list);
  } catch (error) {
    body.replaceChildren(make("p", { class: "why" }, String(error.message)));
  }
}

for (const button of document.querySelectorAll("button.provenance")) {
  button.addEventListener("click", () => openDrawer(button.dataset.run));
}
drawer.querySelector(".close").addEventListener("click", () => drawer.close());
drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
