"""Run the notebooks and keep their outputs, all of them in one kernel, so that libraries are imported once.

python scripts/run_notebooks.py notebooks/*.ipynb
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient


def main() -> None:
    """Run the given notebooks and replace their outputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path)
    paths = parser.parse_args().notebooks
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    run(notebooks)
    for path, notebook in zip(paths, notebooks, strict=True):
        nbformat.write(notebook, path)


def run(notebooks: list[nbformat.NotebookNode]) -> None:
    """Run notebooks one after the other, in place, each with an empty namespace.

    They run in an empty folder, which is removed with what they leave there.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    with TemporaryDirectory() as folder:
        client = NotebookClient(
            nbformat.v4.new_notebook(),
            timeout=600,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        with client.setup_kernel():
            for notebook in notebooks:
                _execute(client, nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%reset -f")]))
                _execute(client, notebook)
                _number(notebook)


def _execute(client: NotebookClient, notebook: nbformat.NotebookNode) -> None:
    client.nb = notebook
    client.reset_execution_trackers()
    for index, cell in enumerate(notebook.cells):
        client.execute_cell(cell, index)


def _number(notebook: nbformat.NotebookNode) -> None:
    """Count the cells of each notebook from 1, as if it had had a kernel of its own."""
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    for number, cell in enumerate(code, 1):
        cell.execution_count = number
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number


if __name__ == "__main__":
    main()
