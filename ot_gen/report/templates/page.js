"use strict";
// Sorts tables and filters runs; without it the page is whole, in the order in which it was written.
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const form = document.getElementById("filters");
  const numbers = (text) => text.trim().split(/\s+/).map(Number);

  // An element speaks of the runs in data-runs and is shown if all of them are; data-any: if any is; data-holds: if
  // anything in it is shown.
  const exact = [...document.querySelectorAll("[data-runs]")].map((element) => [element, numbers(element.dataset.runs)]);
  const loose = [...document.querySelectorAll("[data-any]")].map((element) => [element, numbers(element.dataset.any)]);
  const holders = [...document.querySelectorAll("[data-holds]")];

  function filter() {
    const asked = {};
    for (const box of form.querySelectorAll("input[type=checkbox]:checked")) (asked[box.name] ??= []).push(box.value);
    const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = facts.map((run) =>
      Object.entries(asked).every(([name, values]) => values.includes(run[name])) && words.every((word) => run.text.includes(word)));
    for (const [element, runs] of exact) element.toggleAttribute("hidden", !runs.every((run) => kept[run]));
    for (const [element, runs] of loose) element.toggleAttribute("hidden", !runs.some((run) => kept[run]));
    for (const element of holders) element.toggleAttribute("hidden", !element.querySelector("[data-runs]:not([hidden])"));
    for (const mean of document.querySelectorAll("tr.mean")) mean.parentElement.classList.toggle("alone", mean.hidden);
    const count = kept.filter(Boolean).length;
    document.getElementById("count").textContent =
      count === facts.length ? `all ${count} runs` : `${count} of ${facts.length} runs`;
    document.getElementById("aggregates").hidden = !exact.some(([element, runs]) =>
      element.hasAttribute("hidden") && runs.length > 1 && runs.some((run) => kept[run]));
  }

  // Unknown and not finite values come last in either direction. The third click gives the written order back.
  const number = (text) => (text === "" || text === undefined || Number.isNaN(Number(text)) ? null : Number(text));
  function key(row, column) {
    const cell = row.cells[column];
    return cell && cell.dataset.value !== undefined && cell.dataset.value !== "" ? cell.dataset.value : null;
  }
  function compare(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    const [x, y] = [number(a), number(b)];
    return sign * (x !== null && y !== null ? x - y : a.localeCompare(b));
  }
  function sort(table, header) {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[header.ariaSort];
    for (const other of table.tHead.rows[0].cells) if (other.ariaSort) other.ariaSort = "none";
    header.ariaSort = next;
    const sign = next === "descending" ? -1 : 1, column = header.cellIndex;
    const arranged = (rows, of) => [...rows].sort((a, b) =>
      next === "none" ? a.dataset.written - b.dataset.written : compare(key(of(a), column), key(of(b), column), sign));
    for (const body of table.tBodies)
      body.append(...arranged(body.rows, (row) => row).sort((a, b) => b.matches(".mean") - a.matches(".mean")));
    const first = (body) => [...body.rows].find((row) => !row.hidden) ?? body.rows[0];
    table.append(...arranged(table.tBodies, first));
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tBodies].forEach((body, index) => {
      body.dataset.written = index;
      [...body.rows].forEach((row, place) => { row.dataset.written = place; });
    });
    for (const header of table.tHead.rows[0].cells) {
      if (header.matches(".fixed")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      header.ariaSort = "none";
      button.addEventListener("click", () => sort(table, header));
    }
  }

  for (const drawing of document.querySelectorAll(".curves")) {
    const mark = (line) => {
      drawing.classList.toggle("dim", line !== null);
      for (const path of drawing.querySelectorAll("path[data-line]")) path.classList.toggle("on", path.dataset.line === line);
    };
    for (const target of drawing.querySelectorAll("[data-line]")) {
      target.addEventListener("pointerenter", () => mark(target.dataset.line));
      target.addEventListener("pointerleave", () => mark(null));
      target.addEventListener("focus", () => mark(target.dataset.line));
      target.addEventListener("blur", () => mark(null));
    }
  }

  if (form) {
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    filter();
  }
})();
