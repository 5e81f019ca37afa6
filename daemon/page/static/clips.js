// Selects all clips of the page at once; without this file, each has its own box.
"use strict";

const button = document.getElementById("select-all");
const boxes = () => [...document.querySelectorAll(".pick input")];

if (button && boxes().length > 1) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const all = boxes().every((box) => box.checked);
    for (const box of boxes()) box.checked = !all;
  });
}
