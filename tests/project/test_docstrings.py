"""Every public function and class describes all of its parameters."""

import dataclasses
import inspect
import re
import subprocess
import sys
import textwrap

import pytest

from tefast._support.docstrings import documenting

MODULES = ["tefast", "tefast.dask", "tefast.streaming", "tefast.interop"]
FROM_OTHERS = {
    "tefast.plot": "matplotlib",
    "tefast.metric": "torchmetrics",
    "tefast.nn": "torch",
    "tefast.nn.criteria": "torch",
    "tefast.nn.series": "torch",
}


def public(module):
    """Functions and classes of a module by name, and public methods of these classes."""
    names = getattr(module, "__all__", None) or [
        name for name, each in vars(module).items()
        if not name.startswith("_") and getattr(each, "__module__", None) == module.__name__
    ]  # fmt: skip
    for name in names:
        each = getattr(module, name)
        if inspect.isfunction(each):
            yield name, each
        elif inspect.isclass(each):
            yield name, each
            yield from methods(name, each)


def methods(name, of):
    for method in sorted({*dir(of)} - {*fields(of)}):
        if method.startswith("_") and method != "__call__":
            continue
        each = getattr(of, method)
        if (inspect.isfunction(each) or inspect.ismethod(each)) and ours(each):
            yield f"{name}.{method}", each


def fields(of):
    """The names of what a dataclass or a NamedTuple holds, which are its parameters."""
    if dataclasses.is_dataclass(of):
        return [field.name for field in dataclasses.fields(of)]
    return getattr(of, "_fields", ())


def ours(function):
    return (getattr(function, "__module__", None) or "").startswith("tefast.")


def parameters(each):
    """Names that a caller gives."""
    if inspect.isclass(each) and (fields(each) or not ours(each.__init__)):
        return list(fields(each))
    # Of a class this is the signature of __init__; `self` is that of a function in a class.
    names = inspect.signature(each).parameters
    return [name for name in names if name != "self"]


def described(each):
    """Names in the sections of a docstring that describe parameters: fields are attributes."""
    kinds = ["Parameters", "Attributes"] if fields(each) else ["Parameters"]
    names = []
    for kind in kinds:
        section = re.search(
            rf"^{kind}\n-+\n(.*?)(?=\n\n\w[\w ]*\n---|\Z)", inspect.getdoc(each) or "", re.M | re.S
        )
        for line in section[1].splitlines() if section else []:
            entry = re.match(r"[\w*][^:]*", line)
            if entry:
                names += [name.strip().lstrip("*") for name in entry[0].split(",")]
    return names


def faults(name, each):
    text = inspect.getdoc(each) or ""
    missing = [one for one in parameters(each) if one not in described(each)]
    if missing:
        yield f"the docstring of {name} does not describe {', '.join(missing)}"
    if referring := re.search(r".*\bas in\b.*", text, re.IGNORECASE):
        yield f"the docstring of {name} refers elsewhere: {referring[0].strip()}"
    if unfilled := re.search(r"^ *\{[\w:, ]+\}$", text, re.MULTILINE):
        yield f"the docstring of {name} has a place that was not filled: {unfilled[0].strip()}"


@pytest.mark.parametrize("module", [*MODULES, *FROM_OTHERS])
def test_all_parameters_are_described(module):
    if module in FROM_OTHERS:
        pytest.importorskip(FROM_OTHERS[module])
    __import__(module)
    found = dict(public(sys.modules[module]))
    assert found
    wrong = [text for name, each in found.items() for text in faults(f"{module}.{name}", each)]
    assert not wrong


def example(alpha, beta=2):
    """Do something.

    Parameters
    ----------
    alpha : int
        One.
    """


def test_a_parameter_that_is_missing_is_found():
    assert [*faults("example", example)] == ["the docstring of example does not describe beta"]
    assert not [*faults("test", test_a_parameter_that_is_missing_is_found)]


def test_places_are_filled_as_far_indented():
    @documenting({"beta": "\nbeta : int\n    Two.\n\n    - a list\n", "other:b": "other : str"})
    def filled(alpha, beta, other):
        """Do something.

        Parameters
        ----------
        alpha : {"a", "b"}
        {beta, other:b}
        """

    assert inspect.getdoc(filled) == textwrap.dedent("""\
        Do something.

        Parameters
        ----------
        alpha : {"a", "b"}
        beta : int
            Two.

            - a list
        other : str""")
    assert filled.__name__ == "filled"
    assert [*inspect.signature(filled).parameters] == ["alpha", "beta", "other"]


def test_an_unknown_place_is_an_error():
    def wrong():
        """Do something.

        {nothing}
        """

    with pytest.raises(KeyError, match="nothing"):
        documenting({})(wrong)


def test_without_docstrings_all_is_there():
    code = "import tefast; assert tefast.transfer_entropy.__doc__ is None"
    subprocess.run([sys.executable, "-OO", "-c", code], check=True)
