"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetScale2d"]] };

  function drawFigures() {
    for (const [id, figure] of Object.entries(read("figures"))) {
      Plotly.newPlot(id, figure.data, figure.layout, config);
    }
  }

  // Tables: a click on a heading sorts by it, the larger first for numbers; rows without a value stay last.
  function value(row, column) {
    const cell = row.cells[column];
    const given = cell.dataset.value;
    if (given === undefined) return cell.textContent.trim().toLowerCase();
    return given === "" ? null : Number(given);
  }

  function sortBy(heading) {
    const table = heading.closest("table");
    const body = table.tBodies[0];
    const column = heading.cellIndex;
    const rows = [...body.rows];
    const numeric = rows.some((row) => row.cells[column].dataset.value !== undefined);
    const before = heading.getAttribute("aria-sort");
    const first = numeric ? "descending" : "ascending";
    const direction = before === first ? (numeric ? "ascending" : "descending") : first;
    const sign = direction === "ascending" ? 1 : -1;
    rows.sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === null || y === null) return (x === null) - (y === null);
      return numeric ? sign * (x - y) : sign * x.localeCompare(y);
    });
    for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", direction);
    body.append(...rows);
  }

  // Training curves: one cell at a time, every term of the loss beside the validation metric.
  function options(select, values, kept) {
    select.replaceChildren(...values.map((text) => new Option(text, text)));
    if (values.includes(kept)) select.value = kept;
  }

  function curves() {
    const cells = read("curves");
    if (!cells.length) return;
    const selects = ["model", "dataset", "seed"].map((name) => document.getElementById("curve-" + name));
    const of = (cell, depth) => String([cell.model, cell.dataset, cell.seed][depth]);
    const matching = (depth) =>
      cells.filter((cell) => selects.slice(0, depth).every((select, i) => of(cell, i) === select.value));

    function draw() {
      const cell = matching(3)[0];
      const trace = (axis, step, dash) => ([name, values]) => ({
        x: values.map((_, i) => (i + 1) * step), y: values, name, mode: values.length > 1 ? "lines" : "markers",
        xaxis: "x" + axis, yaxis: "y" + axis, line: { width: 2, dash },
      });
      const data = [
        ...Object.entries(cell.losses).map(trace("", 1, "solid")),
        ...Object.entries(cell.valid).map(trace("2", cell.step, "dash")),
      ];
      const axis = (title, more) => ({ title: { text: title }, automargin: true, gridcolor: "#e8ebef", zeroline: false, ...more });
      const layout = {
        height: 400, margin: { t: 30, r: 20, b: 50 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
        font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 13, color: "#1d232a" },
        xaxis: axis("epoch", { domain: [0, 0.46] }), yaxis: axis("loss term"),
        xaxis2: axis("epoch", { domain: [0.56, 1], anchor: "y2" }), yaxis2: axis("validation", { anchor: "x2" }),
      };
      Plotly.react("curve-plot", data, layout, config);
    }

    function refill(from) {
      for (let depth = from; depth < 3; depth++) {
        options(selects[depth], [...new Set(matching(depth).map((cell) => of(cell, depth)))], selects[depth].value);
      }
      draw();
    }
    selects.forEach((select, depth) => select.addEventListener("change", () => refill(depth + 1)));
    refill(0);
  }

  // Paper is narrower than most windows: plots that are wider shrink for it, and grow back.
  const paper = 690;
  const plots = () => [...document.querySelectorAll(".plot")].filter((div) => div.data);
  addEventListener("beforeprint", () => {
    for (const div of plots()) if (div.clientWidth > paper) Plotly.relayout(div, { width: paper });
  });
  addEventListener("afterprint", () => {
    for (const div of plots()) if (div.layout.width) Plotly.relayout(div, { width: null, autosize: true });
  });

  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }
  drawFigures();
  curves();
})();
