// Sorting and filtering of ranking tables. The order and choice of rows is announced to the outcome grid.
"use strict";

for (const board of document.querySelectorAll(".board")) {
  const body = board.querySelector(".ranking tbody");
  const form = board.querySelector(".filters");
  const heads = [...board.querySelectorAll(".ranking thead th")];

  const value = (row, column, type) => {
    const text = row.children[column].dataset.v;
    if (type === "text") return text;
    return text === "" || text === undefined ? null : Number(text);
  };

  function compare(a, b, type) {
    if (a === null || b === null) return (a === null) - (b === null); // what has no number stands last, always
    return type === "text" ? a.localeCompare(b) : a - b;
  }

  function sort(head) {
    const column = heads.indexOf(head);
    const type = head.dataset.type;
    const first = type === "text" || column === 0 ? "ascending" : "descending"; // high rates are what one looks for
    const current = head.getAttribute("aria-sort");
    const order = current === null ? first : current === "ascending" ? "descending" : "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => ({ row, v: value(row, column, type) }));
    rows.sort((a, b) => (a.v === null || b.v === null ? 1 : sign) * compare(a.v, b.v, type));
    body.append(...rows.map(({ row }) => row));
    announce();
  }

  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const marks = ["privileged", "errors"];
      row.hidden = !words.every((word) => row.dataset.find.includes(word))
        || marks.some((mark) => row.dataset[mark] === "1" && !form.elements[mark].checked);
      shown += !row.hidden;
    }
    const all = body.rows.length;
    form.querySelector("output").textContent = shown === all ? `${all} run${all === 1 ? "" : "s"}` : `${shown} of ${all} runs`;
    announce();
  }

  function announce() {
    const runs = [...body.rows].filter((row) => !row.hidden).map((row) => row.dataset.run);
    board.dispatchEvent(new CustomEvent("rows", { detail: runs }));
  }

  for (const head of heads) head.querySelector("button")?.addEventListener("click", () => sort(head));
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
}
