"""Each fault of a model.toml has its line, its code and a message with what to do."""

from collections.abc import Callable

import pytest

from mpbuild.base.errors import Finding

Read = Callable[[str], tuple[Finding, ...]]

# (what the good spec says, what this one says, the line of the finding, its message, its hint)
WRONG = [
    ("schema_version = 1\n", "", 1, "missing key schema_version", "The version of this format"),
    ("schema_version = 1", "schema_version = 2", 1, "schema_version: not 1, the version", ""),
    ("schema_version = 1", "schema_version = true", 1, "schema_version: expected 1", ""),
    ("schema_version = 1", "schema_version = 1.0", 1, "found 1.0", ""),
    ('"digits"', '"Digits"', 4, "package.name: not a name: 'Digits'", "lower-case letters"),
    ('"digits"', "7", 4, "package.name: expected a name, found 7", "lower-case letters"),
    ('"1.4.0"', '"1.4"', 5, "package.version: not a semantic version: '1.4'", "MAJOR.MINOR.PATCH"),
    ('"1.4.0"', "1.4", 5, "package.version: expected a semantic version, found 1.4", "in quotes"),
    ("Classifies", "\\nClassifies", 6, "package.summary: not a line of text", ""),
    ('["vision-team"]', "[]", 7, "package.owners: expected at least 1, found 0", ""),
    ('["vision-team"]', '["a", "b", "a"]', 7, "package.owners[2]: duplicate 'a'", ""),
    ('["vision-team"]', '"a"', 7, "package.owners: expected an array, found 'a'", ""),
    ("Apache-2.0", "Apache-2", 8, "package.license: not an SPDX", "did you mean Apache-2.0?"),
    ("Apache-2.0", "Acme's own", 8, "package.license: not an SPDX", "LicenseRef-Proprietary"),
    ("Apache-2.0", "() OR MIT", 8, "not an SPDX licence expression: '() OR MIT'", ""),
    ("Apache-2.0", "MIT AND (MIT", 8, "not an SPDX licence expression: 'MIT AND (MIT'", ""),
    ("Apache-2.0", "Zq-1", 8, "unknown licence 'Zq-1'", "the SPDX licence list"),
    (".model:Model", ".model", 14, "core.entry_point: not an entry point", "module.path:Class"),
    (".model:", ".class:", 14, "core.entry_point: 'class' is a Python keyword", ""),
    ("../common", "../../../common", 17, "core.sources[1]: '../../../common/*.py' leaves the", ""),
    ("src/**/*.py", "/src/*.py", 16, "core.sources[0]: '/src/*.py' is absolute", "relative"),
    ("src/**/*.py", "src\\\\*.py", 16, "contains a backslash", "relative"),
    ("src/**/*.py", "./src/*.py", 16, "has a part '.'", "relative"),
    ("src/**/*.py", "src//*.py", 16, "has an empty part", "relative"),
    ("src/**/*.py", "", 16, "core.sources[0]: '' is empty", "relative"),
    ("src/**/*.py", "~/src/*.py", 16, "begins with ~", "relative"),
    ("src/**/*.py", "src/.wh.x", 16, "begins with .wh., which marks a deletion", "relative"),
    ("src/**/*.py", "src/**.py", 16, "combines ** with other characters", "relative"),
    ("src/**/*.py", "src/*/../x.py", 16, "has '..' after a wildcard", "relative"),
    ("src/**/*.py", "src/\\u0000", 16, "contains a control character", "relative"),
    ("src/**/*.py", "src/..", 16, "ends with '..'", "relative"),
    ("../common/*.py", "src/**/*.py", 17, "core.sources[1]: duplicate 'src/**/*.py'", ""),
    ('"train"', '"trian"', 23, "core.weights[0].step: no step 'trian'", "did you mean train?"),
    (
        '"classifier.onnx"',
        '"x"',
        24,
        "core.weights[0].output: the step 'train' has no",
        "its outputs",
    ),
    ('output = "classifier.onnx"', "", 20, "core.weights[0]: expected exactly one of step and", ""),
    ('step = "train"', 'path = "x"', 20, "found output and path", ""),
    ('"vocabulary"', '"classifier"', 27, "core.weights[1].name: duplicate 'classifier'", ""),
    (
        "weights/vocabulary",
        "weights/*",
        29,
        "core.weights[1].path: 'weights/*.bin' contains a w",
        "",
    ),
    ("9f86d0", "9F86D0", 30, "core.weights[1].sha256: not a sha256", "64 lower-case"),
    ("FP32", "FP31", 37, "io.inputs[0].datatype: 'FP31' is not one of BOOL", "did you mean FP32?"),
    ("[-1, 64]", "[-1, 0]", 38, "io.inputs[0].shape[1]: not a dimension", ""),
    ("[-1, 64]", "[-2, 64]", 38, "io.inputs[0].shape[0]: not a dimension", ""),
    ("[-1, 64]", "[-1, true]", 38, "io.inputs[0].shape[1]: expected a dimension", ""),
    ("minimum = 0", "minimum = 17", 39, "io.inputs[0].minimum: 17 is above the maximum", ""),
    ("minimum = 0", "minimum = nan", 39, "io.inputs[0].minimum: NaN is not between", ""),
    ("minimum = 0", "minimum = 1e300", 39, "1e+300 is not between", ""),
    ("minimum = 0", 'minimum = "0"', 39, "io.inputs[0].minimum: expected a number", ""),
    ("16.0", "0xffffffffffffffffff", 40, "a number of more than 64 bits is not between", ""),
    (
        '"FP32"\nshape = [-1, 10]',
        '"BYTES"\nshape = []\nminimum = 1',
        47,
        "BYTES values have no order",
        "",
    ),
    (
        '"FP32"\nshape = [-1, 10]',
        '"FP16"\nshape = []\nminimum = 7e4',
        47,
        "70000.0 is not a valid FP16",
        "",
    ),
    ("default = 10", "default = 11", 51, "io.parameters[0].default: 11 is above the max", ""),
    ("default = 10", "default = 0", 51, "io.parameters[0].default: 0 is below the min", ""),
    ("default = 10", "default = 2.5", 51, "2.5 is not a valid INT64: expected an integer", ""),
    ("default = 10", 'default = "10"', 51, "'10' is not a valid INT64: expected an integer", ""),
    ("default = 10", "default = true", 51, "true is not a valid INT64: expected an integer", ""),
    ("default = 10", "default = {}", 51, "io.parameters[0].default: expected a string", ""),
    ("minimum = 1\nmaximum = 10\n", "maximum = 1e1", 52, "10.0 is not a valid INT64", ""),
    (
        'python = "3.11"',
        'python = "3.12"',
        57,
        "'3.12' is not one of 3.11, 3.13",
        "the base provides",
    ),
    ('python = "3.11"', "python = 3.11", 57, "expected one of 3.11, 3.13 in quotes", "bookworm"),
    (
        'python = "3.11"',
        'python = "3.13"',
        57,
        "the base's suite bookworm has Python 3.11, not",
        "base",
    ),
    ("debian-bookworm", "debian-bokworm", 58, "no base 'debian-bokworm'", "debian-bookworm?"),
    ("debian-bookworm", "alpine", 58, "environment.base: no base 'alpine'", "[bases.alpine]"),
    ("numpy>=2", "numpy>=>2", 59, "environment.dependencies[0]: not a requirement", "numpy>=2"),
    ("numpy>=2", "numpy @ https://x.example/n.whl", 59, "contains a URL", '"numpy>=1"'),
    ("numpy>=2", "./numpy.whl", 59, "environment.dependencies[0]: not a requirement", "no paths"),
    ("numpy>=2", r"numpy; os_name != '\\n'", 59, "environment.dependencies[0]: not a req", "numpy"),
    ("numpy>=2", "-r more.txt", 59, "environment.dependencies[0]: not a requirement", "no options"),
    ("libgomp1", "libgomp1=12", 60, "environment.system[0]: not a Debian package", "the lock"),
    ("[accelerators.cpu]", "[accelerators.gpu]", 62, "'gpu' is not one of cpu", "mean cpu?"),
    ("[accelerators.cpu]\ndependencies = [", "[accelerators]\n#", 62, "at least 1, found 0", ""),
    (
        "[[steps]]",
        "[environments.cpu]\n[[steps]]",
        72,
        "environments.cpu: not an environment name",
        "reserved for",
    ),
    (
        "[[steps]]",
        '[environments."t.1"]\n[[steps]]',
        72,
        "environments.'t.1': not an environment name",
        "lower",
    ),
    ('base = "debian-trixie"', "", 70, "environments.newer.python: the base's suite bookworm", ""),
    (
        'python = "3.13"',
        "",
        69,
        "environments.newer.base: the base's suite trixie",
        "the base provides",
    ),
    ('"debian-trixie"', '"debian-sid"', 69, "environments.newer.base: no base 'debian-sid'", ""),
    ('environment = "train"', "", 79, "missing key steps[1].environment", "[environments]"),
    ('environment = "train"', 'environment = "cpu"', 84, "no environment 'cpu'", "accelerator's"),
    ('environment = "train"', 'environment = "trian"', 84, "no environment 'trian'", "mean train?"),
    ("{out}/rows", "out/rows", 74, "steps[0].command: no argument contains {out}", "folder"),
    ("data/*.csv", "step:prepare/rows.npy", 75, "a step can't read its own output", ""),
    ("data/*.csv", "step:train/classifier.onnx", 75, "prepare needs train needs prepare", ""),
    (
        "step:prepare/rows.npy",
        "step:prepare",
        82,
        "is not of the form step:NAME/OUTPUT",
        "relative",
    ),
    ("step:prepare/rows.npy", "step:prepaer/x", 82, "no step 'prepaer'", "did you mean prepare?"),
    (
        "step:prepare/rows.npy",
        "step:prepare/row",
        82,
        "has no output 'row'",
        "its outputs are rows.npy",
    ),
    ("step:prepare/rows.npy", "train.py", 82, "steps[1].inputs[1]: duplicate 'train.py'", ""),
    ("log/metrics.json", "../log", 83, "steps[1].outputs[1]: '../log' has a part '..'", "relative"),
    (
        "log/metrics.json",
        "*.json",
        83,
        "steps[1].outputs[1]: '*.json' contains a wildcard",
        "relative",
    ),
    ("log/metrics.json", "classifier.onnx", 83, "steps[1].outputs[1]: duplicate 'classif", ""),
    ('["rows.npy"]', "[]", 76, "steps[0].outputs: expected at least 1, found 0", ""),
    ("reproducible = true", 'reproducible = "yes"', 85, "expected true or false", ""),
    ('"10m"', '"10 minutes"', 86, "steps[1].timeout: not a positive duration", '"10m"'),
    ('"10m"', "600", 86, "steps[1].timeout: expected a positive duration, found 600", '"10m"'),
    ('"10m"', '"0s"', 86, "steps[1].timeout: not a positive duration: '0s'", ""),
    ('"10m"', '"0.5ms"', 86, "timeout: '0.5ms' is not a whole number of milliseconds", "round it"),
    ('"10m"', "2026-01-01 10:00:00", 86, "steps[1].timeout: expected a positive duration", ""),
    ('"10m"', '"' + "9" * 2000 + 's"', 86, "steps[1].timeout: longer than 1000 characters", ""),
]


@pytest.mark.parametrize(("good", "bad", "line", "message", "hint"), WRONG)
def test_a_wrong_value_is_reported_at_its_line(
    model_text: str,
    findings_of_model: Read,
    good: str,
    bad: str,
    line: int,
    message: str,
    hint: str,
) -> None:
    assert good in model_text
    (finding,) = findings_of_model(model_text.replace(good, bad, 1))
    assert finding.where == f"model.toml:{line}"
    assert finding.code == "spec-invalid"
    assert message in finding.message
    assert hint in finding.hint


UNKNOWN = [
    ("[package] ", "[pakage] ", 3, "unknown key pakage; did you mean package?"),
    ("name =", "nmae =", 4, "unknown key package.nmae; did you mean name?"),
    ("entry_point", "entrypoint", 14, "unknown key core.entrypoint; did you mean entry_point?"),
    ("minimum = 0", "min = 0", 39, "unknown key io.inputs[0].min"),
    ("system =", "sytem =", 60, "unknown key environment.sytem; did you mean system?"),
    ("system =", "compile_bytecodes =", 60, "did you mean compile_bytecode?"),
    ("environments.newer", "enviroments.newer", 68, "unknown key enviroments; did you mean"),
    ("reproducible", "reproducable", 85, "unknown key steps[1].reproducable; did you mean repro"),
    ("timeout", '"time out"', 86, "unknown key steps[1].'time out'; did you mean timeout?"),
]


@pytest.mark.parametrize(("good", "bad", "line", "message"), UNKNOWN)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    model_text: str, findings_of_model: Read, good: str, bad: str, line: int, message: str
) -> None:
    findings = findings_of_model(model_text.replace(good, bad, 1))
    (finding,) = [f for f in findings if f.message.startswith("unknown")]
    assert (finding.where, finding.code) == (f"model.toml:{line}", "spec-invalid")
    assert message in finding.message
    assert "known keys: " in finding.hint


LATER = [
    *(
        ("[environment]", f"{header}\n[environment]", 55, key)
        for header, key in [
            ("[runtime.resources]", "runtime"),
            ("[[tests]]", "tests"),
            ("[[data]]", "data"),
            ("[lineage]", "lineage"),
            ("[card]", "card"),
            ("[governance]", "governance"),
            ("[security]", "security"),
            ("[adapters.http]", "adapters"),
        ]
    ),
]


@pytest.mark.parametrize(("good", "bad", "line", "key"), LATER)
def test_what_nothing_acts_on_yet_is_refused_by_name(
    model_text: str, findings_of_model: Read, good: str, bad: str, line: int, key: str
) -> None:
    (finding,) = findings_of_model(model_text.replace(good, bad, 1))
    assert finding.code == "not-supported-yet"
    assert finding.where == f"model.toml:{line}"
    assert finding.message.endswith(f"{key} is not supported yet")


SYNTAX = [
    ('"2.0.0"', '"2.0.0', 33, "Illegal character"),
    ('version = "2.0.0"', 'version = "2.0.0"\nversion = "2.0.0"', 34, "Cannot overwrite a value"),
    ("[[steps]]", "[steps]", 79, "twice"),
    ('timeout = "10m"\n', 'timeout = "10m', 86, "Unterminated string"),
    ('timeout = "10m"\n', 'timeout = """\n\n', 86, "Unterminated string"),
]


@pytest.mark.parametrize(("good", "bad", "line", "message"), SYNTAX)
def test_a_fault_of_syntax_is_reported_alone(
    model_text: str, findings_of_model: Read, good: str, bad: str, line: int, message: str
) -> None:
    head, _, tail = model_text.rpartition(good)
    (finding,) = findings_of_model(head + bad + tail)
    assert (finding.where, finding.code) == (f"model.toml:{line}", "spec-invalid")
    assert finding.message.startswith("not TOML: ")
    assert message in finding.message


def test_all_errors_are_reported_at_once_in_the_order_of_their_lines(
    model_text: str, findings_of_model: Read
) -> None:
    text = model_text
    for good, bad in [
        ('timeout = "10m"', "timeout = 10"),
        ("step:prepare/rows.npy", "step:nobody/x"),
        ('name = "digits"', 'nmae = "digits"'),
        ("maximum = 16.0", "maximum = -1"),
        ("[environment]", "[card]\n[environment]"),
    ]:
        text = text.replace(good, bad, 1)
    assert [str(f).splitlines()[0] for f in findings_of_model(text)] == [
        "model.toml:3: missing key package.name",
        "model.toml:4: unknown key package.nmae; did you mean name?",
        "model.toml:39: io.inputs[0].minimum: 0 is above the maximum, -1",
        "model.toml:55: card is not supported yet",
        "model.toml:83: steps[1].inputs[1]: no step 'nobody'",
        "model.toml:87: steps[1].timeout: expected a positive duration, found 10",
    ]


def test_an_empty_spec_is_reported_with_every_missing_table(findings_of_model: Read) -> None:
    findings = findings_of_model("")
    assert [f.message.removeprefix("missing key ") for f in findings] == [
        "schema_version",
        "package",
        "core",
        "io",
        "environment",
        "accelerators",
    ]
    assert {f.where for f in findings} == {"model.toml:1"}


def test_a_check_is_silent_about_what_is_reported_already(
    model_text: str, findings_of_model: Read
) -> None:
    """The step's name is wrong, so who needs it can't be blamed for naming it."""
    text = model_text.replace('name = "train"', "name = 1", 1)
    assert [f.message for f in findings_of_model(text)] == [
        "steps[1].name: expected a name, found 1"
    ]


def test_every_circle_of_steps_is_reported(model_text: str, findings_of_model: Read) -> None:
    step = '[[steps]]\nname = "{}"\ncommand = ["{{out}}"]\ninputs = ["step:{}/x"]\n'
    step += 'outputs = ["x"]\nenvironment = "train"\n'
    pairs = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "e"), ("e", "c"), ("f", "a")]
    text = model_text + "".join(step.format(name, need) for name, need in pairs)
    assert [(f.where, f.message) for f in findings_of_model(text)] == [
        ("model.toml:90", "steps[2].inputs: the steps form a cycle: a needs b needs a"),
        (
            "model.toml:102",
            "steps[4].inputs: the steps form a cycle: c needs d needs e needs c",
        ),
    ]


def test_a_spec_nested_too_deeply_is_refused(findings_of_model: Read) -> None:
    (finding,) = findings_of_model("x = " + "[" * 100_000)
    assert "nested too deeply" in finding.message
