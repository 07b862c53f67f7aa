"""JupyterLab as a course needs it: settings, its terminals' shells, the colours of %%bash cells, a learner's copies of the notebooks."""
