"use strict";
const form = document.getElementById("filters");
const items = [...document.querySelectorAll("#images > li")];
function filter() {
  const wanted = Object.fromEntries(new FormData(form));
  let shown = 0;
  for (const item of items) {
    const is = item.dataset;
    const hit = ["state", "channel", "round", "fold", "judged"].every(n => !wanted[n] || wanted[n] === is[n])
      && (!wanted.z || Number(is.z) >= Number(wanted.z))
      && is.path.toLowerCase().includes(wanted.path.toLowerCase());
    item.hidden = !hit;
    shown += hit;
  }
  document.getElementById("shown").value = shown + " of " + items.length + " images";
}
form.addEventListener("input", filter);
form.addEventListener("submit", event => event.preventDefault());
const quote = text => '"' + text.replaceAll('"', '""') + '"';
document.getElementById("save").addEventListener("click", () => {
  const lines = ["path,frame,decision"];
  for (const item of items) {
    const decision = item.querySelector("select").value;
    if (decision) lines.push([quote(item.dataset.path), item.dataset.frame, decision].join(","));
  }
  const link = document.createElement("a");
  link.href = "data:text/csv;charset=utf-8," + encodeURIComponent(lines.join("\n") + "\n");
  link.download = "overrides.csv";
  link.click();
});
filter();
