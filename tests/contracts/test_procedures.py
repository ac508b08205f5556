"""What every procedure must offer, so that a new file in pipelines/procedures works by itself."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from medviz import plugins
from medviz.core.errors import PlanInvalid
from pipelines.plandocument import parse_plan, plan_template, procedure_schema
from pipelines.stages.plan import Procedure

NAMES = plugins.names("procedures")
STEPS = ("plan", "simulate", "facts", "storyboard")


@pytest.mark.parametrize("name", NAMES)
def test_a_procedure_offers_every_step_with_the_agreed_arguments(name):
    module = plugins.load("procedures", name)
    assert name == module.NAME
    assert module.TITLE
    assert module.SCHEMA.procedure == name
    for step in STEPS:
        agreed = list(inspect.signature(getattr(Procedure, step)).parameters)[1:]
        assert list(inspect.signature(getattr(module, step)).parameters) == agreed


@pytest.mark.parametrize("name", NAMES)
def test_a_procedures_template_is_a_valid_plan(name):
    assert parse_plan(plan_template(name).encode()).procedure == name


@pytest.mark.parametrize("name", NAMES)
def test_a_procedure_refuses_a_wrong_key_by_its_line(name):
    schema = procedure_schema(name)
    head = f'schema_version = {schema.version}\nprocedure = "{name}"\n'
    text = head + f"[{schema.tables[0].name}]\nno_such_key = 1\n"
    with pytest.raises(PlanInvalid) as caught:
        parse_plan(text.encode())
    assert caught.value.line == 4


@pytest.mark.parametrize("name", NAMES)
def test_every_key_has_a_meaning_and_every_quantity_its_unit(name):
    for table in procedure_schema(name).tables:
        assert table.doc
        for key in table.keys:
            assert key.doc.endswith(".")
            if key.name.endswith("_mm"):
                assert key.unit == "mm"


def test_reading_a_plan_imports_neither_torch_nor_vtk():
    code = (
        "import sys; from pipelines.plandocument import plan_template; plan_template();"
        "print([m for m in ('torch', 'monai', 'vtkmodules', 'vtk') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
