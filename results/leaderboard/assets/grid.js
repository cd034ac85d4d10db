// The outcome grid: one canvas as large as its window, drawn again while scrolling, so that its size costs nothing.
// Cells come as one character each: S success, 0-9 failure with that many tenths of progress, E error.
"use strict";

const ROW = 18;
const HEAD = 20;
const WORDS = { S: "success", E: "error" };

class OutcomeGrid {
  constructor(section, data) {
    this.section = section;
    this.data = data;
    this.page = section.dataset.episodePage;
    this.box = section.querySelector(".grid-box");
    this.says = section.querySelector(".grid-cell");
    this.rows = data.runs;
    this.group = new Map();
    for (const group of data.groups) if (!this.group.has(group)) this.group.set(group, this.group.size);
    this.cursor = { row: 0, column: 0 };
    this.canvas = leaderboard.make("canvas", { "aria-hidden": "true" });
    this.space = leaderboard.make("div");
    this.space.append(this.canvas);
    this.box.replaceChildren(this.space);
    this.box.addEventListener("scroll", () => this.schedule());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("focus", () => this.move(0, 0));
    this.box.addEventListener("blur", () => this.schedule());
    this.canvas.addEventListener("mousemove", (event) => this.point(event));
    this.canvas.addEventListener("click", (event) => { if (this.point(event)) this.open(); });
    section.querySelector("select").addEventListener("change", (event) => this.order(event.target.value));
    section.closest(".board").addEventListener("rows", (event) => this.choose(event.detail));
    document.addEventListener("themechange", () => this.schedule());
    new ResizeObserver(() => this.layout()).observe(this.box);
    this.order(section.querySelector("select").value);
    this.layout();
  }

  choose(ids) {
    const known = new Map(this.data.runs.map((run) => [run.id, run]));
    this.rows = ids.map((id) => known.get(id)).filter(Boolean);
    this.cursor.row = 0;
    this.layout();
  }

  order(how) {
    const solved = this.data.episodes.map((_, column) => this.data.runs.filter((run) => run.cells[column] === "S").length);
    const half = this.data.runs.length / 2;
    const weight = {
      plan: () => 0,
      group: (column) => this.group.get(this.data.groups[column]),
      hard: (column) => solved[column],
      split: (column) => Math.abs(solved[column] - half),
    }[how];
    this.columns = this.data.episodes.map((_, index) => index).sort((a, b) => weight(a) - weight(b) || a - b);
    this.grouped = how === "group";
    this.schedule();
  }

  layout() {
    const width = this.box.clientWidth;
    this.gutter = Math.min(220, Math.round(width * 0.3));
    this.cell = Math.max(5, Math.min(18, (width - this.gutter - 4) / this.columns.length));
    this.space.style.width = `${Math.max(width, Math.ceil(this.gutter + this.cell * this.columns.length + 4))}px`;
    const height = HEAD + ROW * Math.max(1, this.rows.length) + 4;
    this.space.style.height = `${height}px`;
    this.width = width;
    this.height = Math.min(height, this.box.clientHeight || height);
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.draw(); // at once: a resized canvas is empty
  }

  schedule() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
  }

  /** A colour of the style sheet as the theme has it now. */
  colour(name) {
    this.space.style.color = `var(--${name})`;
    return getComputedStyle(this.space).color;
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const colour = (name) => this.colour(name);
    const scale = devicePixelRatio || 1;
    const { scrollLeft: left, scrollTop: top } = this.box;
    const colours = { S: colour("success"), F: colour("failure"), E: colour("error"), empty: colour("blank") };
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = colour("raised");
    context.fillRect(0, 0, this.width, this.height);
    const firstColumn = Math.max(0, Math.floor(left / this.cell));
    const lastColumn = Math.min(this.columns.length, Math.ceil((left + this.width - this.gutter) / this.cell));
    const firstRow = Math.max(0, Math.floor(top / ROW));
    const lastRow = Math.min(this.rows.length, Math.ceil((top + this.height - HEAD) / ROW));
    const gap = this.cell >= 8 ? 1.5 : 0.75;
    const w = this.cell - gap;
    const h = ROW - 4;
    for (let row = firstRow; row < lastRow; row++) {
      const y = HEAD + row * ROW - top + 2;
      const cells = this.rows[row].cells;
      for (let at = firstColumn; at < lastColumn; at++) {
        const code = cells[this.columns[at]];
        const x = this.gutter + at * this.cell - left;
        if (code === "S" || code === "E") {
          context.fillStyle = colours[code];
          context.fillRect(x, y, w, h);
          if (code === "E") { context.fillStyle = colours.empty; context.fillRect(x, y + h / 2 - 1, w, 2); }
        } else {
          const part = Math.max(2, (h * Number(code)) / 10);
          context.fillStyle = colours.empty;
          context.fillRect(x, y, w, h);
          context.fillStyle = colours.F;
          context.fillRect(x, y + h - part, w, part);
        }
      }
    }
    this.drawNames(context, colour, firstRow, lastRow, top);
    this.drawGroups(context, colour, firstColumn, lastColumn, left);
    this.drawCursor(context, colour, left, top);
  }

  drawNames(context, colour, first, last, top) {
    context.fillStyle = colour("raised");
    context.fillRect(0, 0, this.gutter - 4, this.height);
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    context.fillStyle = colour("ink-2");
    for (let row = first; row < last; row++) {
      context.fillText(fit(context, this.rows[row].label, this.gutter - 20), 10, HEAD + row * ROW - top + ROW / 2);
    }
  }

  drawGroups(context, colour, first, last, left) {
    context.fillStyle = colour("raised");
    context.fillRect(0, 0, this.width, HEAD);
    context.fillStyle = colour("ink-3");
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    if (!this.grouped) return;
    let end = 0;
    for (let at = first; at < last; at++) {
      const group = this.data.groups[this.columns[at]];
      const starts = at === 0 || this.data.groups[this.columns[at - 1]] !== group;
      const x = this.gutter + at * this.cell - left;
      if (!group || !starts || x < end || x < this.gutter) continue;
      context.fillRect(x, 3, 1, HEAD - 4);
      let span = at + 1;
      while (span < this.columns.length && this.data.groups[this.columns[span]] === group) span++;
      const text = fit(context, group, (span - at) * this.cell - 8);
      context.fillText(text, x + 4, HEAD / 2 - 1);
      end = x + 8 + context.measureText(text).width;
    }
  }

  drawCursor(context, colour, left, top) {
    if (document.activeElement !== this.box && !this.hovered) return;
    const x = this.gutter + this.cursor.column * this.cell - left;
    const y = HEAD + this.cursor.row * ROW - top;
    if (x < this.gutter - 1 || y < HEAD - 1) return;
    context.strokeStyle = colour("ink");
    context.lineWidth = 2;
    context.strokeRect(x - 1.5, y + 0.5, this.cell + 1.5, ROW - 1);
  }

  point(event) {
    const column = Math.floor((event.offsetX - this.gutter + this.box.scrollLeft) / this.cell);
    const row = Math.floor((event.offsetY - HEAD + this.box.scrollTop) / ROW);
    const inside = event.offsetX >= this.gutter && event.offsetY >= HEAD && column < this.columns.length && row < this.rows.length;
    this.hovered = inside;
    if (inside) { this.cursor = { row, column }; this.say(); }
    this.schedule();
    return inside;
  }

  key(event) {
    const far = { PageUp: [-10, 0], PageDown: [10, 0], Home: [0, -Infinity], End: [0, Infinity] };
    const near = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const by = near[event.key] ?? far[event.key];
    if (by) { event.preventDefault(); this.move(...by); }
    if (event.key === "Enter") this.open();
  }

  move(rows, columns) {
    const clamp = (value, count) => Math.max(0, Math.min(count - 1, value));
    this.cursor = { row: clamp(this.cursor.row + rows, this.rows.length), column: clamp(this.cursor.column + columns, this.columns.length) };
    const x = this.cursor.column * this.cell;
    const y = this.cursor.row * ROW;
    const { box } = this;
    box.scrollLeft = Math.min(Math.max(box.scrollLeft, x + this.cell + this.gutter - this.width + 4), x);
    box.scrollTop = Math.min(Math.max(box.scrollTop, y + ROW + HEAD - this.height), y);
    this.say();
    this.schedule();
  }

  say() {
    const run = this.rows[this.cursor.row];
    if (!run) return;
    const column = this.columns[this.cursor.column];
    const code = run.cells[column];
    const word = WORDS[code] ?? `failure, progress ${Number(code) * 10} %`;
    this.says.textContent = `${this.data.episodes[column]}, ${run.label}: ${word}`;
  }

  open() {
    const run = this.rows[this.cursor.row];
    if (run) location.href = `${this.page}#${run.id}/${this.columns[this.cursor.column]}`;
  }
}

function fit(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 0 && context.measureText(`${text.slice(0, length)}…`).width > width) length--;
  return length > 0 ? `${text.slice(0, length)}…` : "";
}

const whenSeen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    whenSeen.unobserve(target);
    leaderboard.load(`boards/${target.dataset.grid}/grid`).then(
      (data) => { target.grid = new OutcomeGrid(target, data); },
      (error) => { target.querySelector(".loading").textContent = error.message; },
    );
  }
}, { rootMargin: "300px" });
for (const section of document.querySelectorAll("[data-grid]")) whenSeen.observe(section);
