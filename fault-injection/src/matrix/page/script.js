"use strict";
(() => {
  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text) made.textContent = text;
    return made;
  };

  // A button that copies the line beside it; where the clipboard is closed the line is selected instead.
  const addCopyButton = (box) => {
    const button = element("button", "copy", "copy");
    button.type = "button";
    const line = box.querySelector("code");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(line.textContent);
        button.textContent = "copied";
        setTimeout(() => { button.textContent = "copy"; }, 1500);
      } catch {
        getSelection().selectAllChildren(line);
      }
    });
    box.append(button);
  };
  document.querySelectorAll(".copied").forEach(addCopyButton);

  const cells = [...document.querySelectorAll("button.cell")];
  const card = element("aside", "card");
  card.setAttribute("aria-label", "details of the cell");
  card.hidden = true;
  document.body.append(card);
  let pinned = null;

  const place = (cell) => {
    const at = cell.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left + at.width / 2 - card.offsetWidth / 2),
      document.documentElement.clientWidth - card.offsetWidth - 8);
    const below = at.bottom + 10;
    const above = at.top - card.offsetHeight - 10;
    card.style.left = left + "px";
    card.style.top = (below + card.offsetHeight < innerHeight || above < 8 ? below : above) + "px";
  };

  const show = (cell) => {
    card.replaceChildren(element("h3", "", cell.dataset.title), element("p", "about", cell.dataset.about));
    const list = element("ul");
    cell.dataset.lines.split("\n").forEach((line) => list.append(element("li", "", line)));
    card.append(list);
    if (cell.dataset.replay) {
      const box = element("div", "copied");
      box.append(element("code", "", cell.dataset.replay));
      addCopyButton(box);
      card.append(box);
    }
    card.hidden = false;
    card.classList.toggle("pinned", pinned === cell);
    place(cell);
  };
  const hide = () => {
    pinned = null;
    card.hidden = true;
    cells.forEach((cell) => cell.removeAttribute("aria-expanded"));
  };

  cells.forEach((cell) => {
    cell.removeAttribute("title");
    cell.addEventListener("mouseenter", () => { if (!pinned) show(cell); });
    cell.addEventListener("mouseleave", () => { if (!pinned) hide(); });
    cell.addEventListener("focus", () => { if (!pinned && cell.matches(":focus-visible")) show(cell); });
    cell.addEventListener("blur", () => { if (!pinned) hide(); });
    cell.addEventListener("click", () => {
      const isOpen = pinned === cell;
      hide();
      if (isOpen) return;
      pinned = cell;
      cell.setAttribute("aria-expanded", "true");
      show(cell);
    });
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("click", (event) => {
    if (pinned && !card.contains(event.target) && !event.target.closest("button.cell")) hide();
  });
  addEventListener("scroll", () => { if (pinned) place(pinned); else hide(); }, { passive: true, capture: true });

  // One stop for the tab key; within the matrix the arrows move.
  const lines = [...document.querySelectorAll(".matrix tbody tr:not(.group)")]
    .map((line) => [...line.cells].slice(1).map((cell) => cell.querySelector("button.cell")));
  cells.forEach((cell, index) => { cell.tabIndex = index === 0 ? 0 : -1; });
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  document.querySelector(".matrix")?.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    const from = event.target.closest("button.cell");
    if (!step || !from) return;
    event.preventDefault();
    let row = lines.findIndex((line) => line.includes(from));
    let column = lines[row].indexOf(from);
    do {
      row += step[0];
      column += step[1];
    } while (lines[row] && column in lines[row] && !lines[row][column]);
    const to = lines[row]?.[column];
    if (!to) return;
    hide();
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
})();
