// A plotly figure that follows its kernel: drawn again whenever the model of live_figure.py changes; the model hears of clicked points.
// The figure is state, not a stream of changes: a browser that is slow, was reloaded or opened later shows what the kernel holds.
const LIBRARY = Symbol.for("meshcourse.plotly");
const CONFIG = { displaylogo: false, displayModeBar: false, responsive: false };

// The kernel's figures share one model that holds the library, gzipped; the page evaluates it once.
function library(model) {
  window[LIBRARY] ??= load(model).catch((error) => {
    window[LIBRARY] = undefined;
    throw new Error(`plotly.js could not be loaded: ${error}`);
  });
  return window[LIBRARY];
}

async function load(model) {
  const held = await model.widget_manager.get_model(model.get("library").replace("IPY_MODEL_", ""));
  const text = new Blob([held.get("packed")]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.src = URL.createObjectURL(new Blob([await new Response(text).blob()], { type: "text/javascript" }));
  await new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = () => reject(new Error("its script failed"));
    document.head.append(script);
  });
  URL.revokeObjectURL(script.src);
  return window.Plotly;
}

// Keys without Ctrl or Shift are the slider's or the list's that has the focus. In command mode the notebook would take an arrow for itself:
// Notebook 7 before a slider hears of it, JupyterLab before a list does. Both heed this attribute, and the window is told first.
function keep(event) {
  const plain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
  event.target.closest?.(".mc-panel .noUi-handle, .mc-panel select")?.toggleAttribute("data-lm-suppress-shortcuts", plain);
}

// What a screen reader says of a slider: its name, and its value without the last digits of binary fractions.
function tell(panel) {
  for (const handle of panel.querySelectorAll(".noUi-handle")) {
    const name = handle.closest(".widget-slider")?.querySelector(".widget-label")?.textContent;
    const value = String(Math.round(Number(handle.getAttribute("aria-valuenow")) * 1000) / 1000);
    if (name && handle.getAttribute("aria-label") !== name) handle.setAttribute("aria-label", name);
    if (value !== "NaN" && handle.getAttribute("aria-valuenow") !== value) handle.setAttribute("aria-valuenow", value);
  }
}

async function render({ model, el }) {
  let drawing = false;
  let again = false;
  let gone = false;
  el.setAttribute("role", "img");
  el.style.width = "100%";
  const plotly = await library(model);

  async function draw() {
    again = true;
    if (drawing) return;
    drawing = true;
    try {
      while (again && !gone) {
        again = false;
        const { data, layout } = structuredClone(model.get("figure"));
        const tick = model.get("tick");
        await plotly.react(el, data, layout, CONFIG);
        el.setAttribute("aria-label", model.get("label"));
        el.dataset.tick = String(tick);
        await new Promise((painted) => setTimeout(painted, 0));
      }
    } finally {
      drawing = false;
    }
  }

  // Counted, so that a second click on the same point is a change too.
  function clicked({ points: [point] }) {
    const { name = "", text } = point.data;
    const words = Array.isArray(text) ? text[point.pointNumber] : text;
    const count = (model.get("clicked").count ?? 0) + 1;
    model.set("clicked", { trace: name, point: point.pointNumber, text: words ?? "", count });
    model.save_changes();
  }

  // The figure is drawn before its panel stands in the page; it gets a width then.
  let panel = null;
  const teller = new MutationObserver(() => tell(panel));
  function hear() {
    if (panel || !(panel = el.closest(".mc-panel"))) return;
    tell(panel);
    teller.observe(panel, { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-valuenow"] });
  }

  // A side bar that opens changes the width as a smaller window does.
  const watcher = new ResizeObserver(() => {
    hear();
    const width = Math.floor(el.clientWidth);
    if (!gone && width > 0 && el._fullLayout && Math.abs(width - el._fullLayout.width) > 1) void plotly.Plots.resize(el);
  });
  model.on("change:tick", draw);
  await draw();
  el.on("plotly_click", clicked); // plotly.react keeps it, plotly.purge takes it away
  watcher.observe(el);
  hear();
  window.addEventListener("keydown", keep, true); // the same listener again is none more
  return () => {
    gone = true;
    watcher.disconnect();
    teller.disconnect();
    model.off("change:tick", draw);
    plotly.purge(el);
  };
}

export default { render };
