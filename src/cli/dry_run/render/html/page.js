
"use strict";
// Without this script the page has everything but the filter. The filter's state is in the address, so that it can be handed on.
{
  const find = document.querySelector(".find");
  const text = document.getElementById("text");
  const open = document.getElementById("open");
  const shown = document.getElementById("shown");
  const boxes = [...find.querySelectorAll("input[type=checkbox]")];
  const pods = [...document.querySelectorAll(".pod")];
  let known;

  const visible = () => pods.filter((pod) => !pod.hidden);

  function filter() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    // The text of thousands of pods is only put together once somebody asks.
    if (words.length) known ??= pods.map((pod) => pod.textContent.toLowerCase());
    pods.forEach((pod, at) => {
      pod.hidden = !wanted.has(pod.dataset.word) || !words.every((word) => known[at].includes(word));
    });
    const count = visible().length;
    shown.textContent = count === pods.length ? "" : `${count} of ${pods.length} shown`;
  }

  function remember() {
    const state = new URLSearchParams();
    if (text.value) state.set("text", text.value);
    const off = boxes.filter((box) => !box.checked).map((box) => box.value);
    if (off.length) state.set("hide", off.join(","));
    history.replaceState(null, "", state.size ? `#${state}` : location.pathname + location.search);
  }

  function recall() {
    const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (named?.matches(".pod")) {
      named.hidden = false;
      named.open = true;
      named.scrollIntoView();
      return;
    }
    const state = new URLSearchParams(location.hash.slice(1));
    text.value = state.get("text") ?? "";
    const off = (state.get("hide") ?? "").split(",");
    boxes.forEach((box) => { box.checked = !off.includes(box.value); });
    filter();
  }

  find.addEventListener("input", () => { filter(); remember(); });
  open.addEventListener("click", () => {
    const closed = visible().some((pod) => !pod.open);
    visible().forEach((pod) => { pod.open = closed; });
    open.textContent = closed ? "Close all" : "Open all";
  });
  addEventListener("hashchange", recall);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target !== text && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      text.focus();
    } else if (event.key === "Escape" && event.target === text) {
      text.value = "";
      filter();
      remember();
    }
  });
  find.hidden = false;
  recall();
}
