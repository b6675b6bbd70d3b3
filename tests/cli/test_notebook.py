"""`%seglab` in a notebook: the command's own words, output and failures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.testing.globalipapp import start_ipython


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    shell = start_ipython() or InteractiveShell.instance()
    shell.run_line_magic("load_ext", "seglab.cli.notebook")
    yield shell
    InteractiveShell.clear_instance()


def test_names_of_the_notebook_are_filled_in(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.push({"what": "--version"})
    assert shell.run_cell("%seglab {what}").success
    assert capsys.readouterr().out.startswith("seglab 0.")


def test_quiet_speaks_only_of_failures(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run_cell("%seglab --quiet --version").success
    assert capsys.readouterr().out == ""
    assert not shell.run_cell("%seglab --quiet trian").success
    said = capsys.readouterr().err
    assert "no such command 'trian' (did you mean 'train'?)" in said
    assert "seglab ended with exit code 2" in said


def test_one_may_go_on_after_a_failure(shell: InteractiveShell) -> None:
    # Hydra's commands end the process themselves, which is the notebook's.
    assert shell.run_cell("code = %seglab --no-raise-error train model=nonesuch").success
    assert shell.user_ns["code"] == 2
