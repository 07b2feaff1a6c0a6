// Comforts of the optimize report: pointer tooltips and sortable tables. Everything that the page
// says is there without them.
"use strict";
(() => {
  const tooltip = document.createElement("div");
  tooltip.id = "tooltip";
  tooltip.hidden = true;
  document.body.append(tooltip);
  // The browser's own tooltips are slow and would also appear for whole charts.
  for (const title of document.querySelectorAll("svg title")) {
    const owner = title.parentNode;
    owner.setAttribute("aria-label", title.textContent);
    owner.removeAttribute("aria-labelledby");
    if (owner.classList.contains("tip")) owner.dataset.tip = title.textContent;
    title.remove();
  }
  document.addEventListener("mousemove", (event) => {
    const owner = event.target.closest ? event.target.closest("[data-tip]") : null;
    tooltip.hidden = !owner;
    if (!owner) return;
    tooltip.textContent = owner.dataset.tip;
    const box = tooltip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const below = event.clientY + 18;
    const top = below + box.height > innerHeight ? event.clientY - box.height - 10 : below;
    tooltip.style.left = Math.max(left, 4) + "px";
    tooltip.style.top = Math.max(top, 4) + "px";
  });

  const value = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  };
  const sort = (table, column, header) => {
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const left = value(a, column);
      const right = value(b, column);
      const order = typeof left === "number" && typeof right === "number"
        ? left - right : String(left).localeCompare(String(right), "en", {numeric: true});
      return descending ? -order : order;
    });
    table.tBodies[0].append(...rows);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(table, column, header));
      header.append(button);
    });
  }
})();
