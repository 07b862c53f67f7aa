// Cells that begin with %%bash get the colours of a shell, in JupyterLab and in Notebook 7; all others keep their kernel's.
// Written by hand in the form in which JupyterLab loads extensions (a container with `init` and `get`), so that nothing has to be built.
(() => {
  const SHELL = "text/x-sh", SEEN = new WeakSet();

  function colour(model) {
    const wanted = /^%%(bash|sh)\b/.test(model.sharedModel.getSource()) ? SHELL : model.meshcourseKernels;
    if (wanted && model.mimeType !== wanted) model.mimeType = wanted;
  }

  function attend(model) {
    if (model.type !== "code" || SEEN.has(model)) return;
    SEEN.add(model);
    model.mimeTypeChanged.connect(() => { // the notebook tells every cell the kernel's language, at its start and after a restart
      if (model.mimeType !== SHELL) model.meshcourseKernels = model.mimeType;
      colour(model);
    });
    if (model.mimeType !== SHELL) model.meshcourseKernels = model.mimeType;
    model.contentChanged.connect(() => colour(model));
    colour(model);
  }

  function open(widget) {
    const cells = widget?.content?.model?.cells ?? widget?.context?.model?.cells;
    if (!cells || SEEN.has(cells)) return;
    SEEN.add(cells);
    const all = () => { for (let each = 0; each < cells.length; each++) attend(cells.get(each)); };
    cells.changed.connect(all);
    all();
  }

  const plugin = {
    id: "meshcourse-shell-cells:plugin",
    autoStart: true,
    activate: (app) => {
      const look = () => {
        for (const widget of app.shell.widgets("main")) {
          open(widget);
          widget.context?.ready?.then(() => open(widget));
        }
      };
      app.shell.layoutModified?.connect(look);
      app.shell.currentChanged?.connect(look);
      app.restored.then(look);
    },
  };

  (window._JUPYTERLAB ??= {})["meshcourse-shell-cells"] = {
    init: () => Promise.resolve(),
    get: () => Promise.resolve(() => ({ __esModule: true, default: plugin })),
  };
})();
