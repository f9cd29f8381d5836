"""Functions by name: loaded when they are needed, refused by a line."""

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.core.lazy import check_loadable, load_object

pytestmark = [pytest.mark.feature("options and registries"), pytest.mark.smoke]


def test_a_function_is_loaded_by_its_name():
    assert load_object("jaxticket.core.lazy:load_object") is load_object
    assert load_object(load_object) is load_object


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("nowhere:f", "'nowhere:f': there is no module 'nowhere'; must be package.module:function"),
        ("jaxticket.nowhere:f", "there is no module 'jaxticket.nowhere'"),
        ("jaxticket.core.lazy:f", "module 'jaxticket.core.lazy' has no 'f'; must be package.module:function"),
        ("jaxticket", "module 'jaxticket' has no ''"),
        ("", "there is no module ''"),
    ],
)
def test_a_name_of_nothing_is_refused(named, message):
    with pytest.raises(ConfigError, match=message):
        load_object(named)


def test_what_a_module_lacks_is_said_by_python(tmp_path, monkeypatch):
    (tmp_path / "lacking.py").write_text("import nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="'nowhere'"):
        load_object("lacking:f")


@pytest.mark.parametrize("named", [5, None, "", "nowhere", "a:b:c", ("a:b",)])
def test_only_functions_and_their_names_are_loadable(named):
    with pytest.raises(ConfigError, match=r"scores=.*: must be a function, or where one is, package.module:function"):
        check_loadable("scores", named)
