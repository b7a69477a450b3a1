"""The links of update-alternatives, made from a table instead of by scripts."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import image_layers
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.derive.layers import alternatives
from mpbuild.derive.layers.layer_plan import DEBS
from mpbuild.formats.debian import deblock
from mpbuild.formats.debian.deblock import DebianLock, DebianPackage, Link
from mpbuild.formats.python.pylock import PythonLock

INSTALLS = re.compile(r"update-alternatives[^\n;&|]*\s--install\b")
DEMO = "demo_1.0-1_amd64.deb"
GAWK = """\
update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/gawk 10 \\
  --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/gawk.1.gz \\
  --slave /usr/bin/nawk nawk /usr/bin/gawk
"""
FILES = (("./usr/bin/gawk", b"\x7fgawk", 0o755), ("./usr/bin/folder", None))
AWK = Link("demo", "/usr/bin/awk", "/usr/bin/gawk")
NAWK = Link("demo", "/usr/bin/nawk", "/usr/bin/gawk")
HINT = (
    "give its target in a link of demo, or mark it as omitted, in `links` of the environment or of "
    "its base"
)


def layer(make, script, *links, files=FILES, name="postinst"):
    deb = make.deb(files, scripts={name: f"#!/bin/sh\nset -e\n{script}\n"} if script else None)
    return make.deb_layer({DEMO: deb}, links=links)


def refusal(make, script, *links, **more):
    with pytest.raises(InputError) as caught:
        layer(make, script, *links, **more)
    (finding,) = caught.value.findings
    return finding


def links_of(made):
    return {path: node.linkname for path, node in made.members().items() if node.issym()}


def test_rows_of_the_table_become_links_that_lead_to_the_packages_file(make):
    assert links_of(layer(make, GAWK, AWK, NAWK)) == {
        "usr/bin/awk": "/usr/bin/gawk",
        "usr/bin/nawk": "/usr/bin/gawk",
    }


def test_the_order_of_rows_decides_nothing(make):
    assert layer(make, GAWK, AWK, NAWK).layer == layer(make, GAWK, NAWK, AWK).layer


def test_what_is_omitted_is_not_made(make):
    made = layer(make, GAWK, Link("demo"))
    assert links_of(made) == {}
    assert made.layer == layer(make, "").layer


def test_links_and_their_targets_go_through_merged_usr(make):
    script = "update-alternatives --install /bin/awk awk /bin/gawk 10"
    row = Link("demo", "/bin/awk", "/bin/gawk")
    files = (("./bin/gawk", b"", 0o755),)
    assert links_of(layer(make, script, row, files=files)) == {"usr/bin/awk": "/usr/bin/gawk"}
    same = Link("demo", "/usr/bin/awk", "/usr/bin/gawk")
    made = layer(make, script, row, files=files).layer
    assert made == layer(make, script, same, files=files).layer


def test_a_link_may_lead_to_a_link_of_the_package(make):
    files = (*FILES, ("./usr/bin/gawk-5", "->gawk"))
    made = layer(make, GAWK, NAWK, Link("demo", "/usr/bin/awk", "/usr/bin/gawk-5"), files=files)
    assert links_of(made)["usr/bin/awk"] == "/usr/bin/gawk-5"


@pytest.mark.parametrize(
    ("script", "links", "missing"),
    [
        (GAWK, (), "/usr/bin/awk"),
        (GAWK, (NAWK,), "/usr/bin/awk"),
        (GAWK, (AWK,), "/usr/bin/nawk"),
        ("update-alternatives --quiet --install /a b c 5", (), "/a"),
        ("update-alternatives \\\n  --install '/a' b c 5", (), "/a"),
        ('if true; then update-alternatives --force \\\n--install "/a" b; fi', (), "/a"),
        ("/usr/bin/update-alternatives --install /a b c 5 && true", (), "/a"),
        ("update-alternatives --install $link b c 5", (), "links at computed paths"),
        ("update-alternatives --install a b c 5", (), "links at computed paths"),
        ("update-alternatives --install", (), "links at computed paths"),
    ],
)
@pytest.mark.parametrize("name", ["preinst", "postinst"])
def test_a_link_without_a_row_is_refused_by_its_path(make, name, script, links, missing):
    finding = refusal(make, script, *links, name=name)
    said = f"its {name} script makes {missing} by update-alternatives, but scripts are not run"
    assert (finding.code, finding.where, finding.message) == ("spec-invalid", DEMO, said)
    assert finding.hint == HINT


def test_a_script_that_computes_its_links_needs_rows_with_any_paths(make):
    script = "for i in awk nawk; do\nupdate-alternatives --install /usr/bin/$i $i $t 10\ndone"
    assert links_of(layer(make, script, AWK)) == {"usr/bin/awk": "/usr/bin/gawk"}
    assert links_of(layer(make, script, Link("demo"))) == {}


@pytest.mark.parametrize(
    ("script", "row", "said"),
    [
        ("ldconfig", AWK, "none of its scripts runs update-alternatives"),
        ("", Link("demo"), "none of its scripts runs update-alternatives"),
        (
            GAWK,
            Link("demo", "/etc/passwd", "/usr/bin/gawk"),
            "none of its scripts makes /etc/passwd by update-alternatives",
        ),
    ],
)
def test_a_row_that_answers_to_no_script_is_refused(make, script, row, said):
    """Otherwise a table could make any link, and keep rows that are no longer needed."""
    rows = (AWK, NAWK, row) if script == GAWK else (row,)
    finding = refusal(make, script, *rows)
    assert (finding.where, finding.message) == (DEMO, said)


@pytest.mark.parametrize("target", ["/usr/bin/none", "/usr/bin/folder", "/etc/passwd"])
def test_a_link_to_what_is_no_file_of_the_package_is_refused(make, target):
    finding = refusal(make, GAWK, NAWK, Link("demo", "/usr/bin/awk", target))
    assert finding.message == f"demo has no file {target} for the link /usr/bin/awk"


def test_a_link_to_the_file_of_another_package_is_refused(make):
    other = make.deb([("./usr/bin/other", b"", 0o755)], name="other")
    deb = make.deb(FILES, scripts={"postinst": GAWK})
    rows = (Link("demo", "/usr/bin/awk", "/usr/bin/other"), NAWK)
    with pytest.raises(InputError, match="demo has no file /usr/bin/other"):
        make.deb_layer({DEMO: deb, "other_1.0-1_amd64.deb": other}, links=rows)


@pytest.mark.parametrize("there", [b"a file", "->somewhere", None])
def test_a_link_at_the_path_of_something_else_is_refused(make, there):
    finding = refusal(make, GAWK, AWK, NAWK, files=(*FILES, ("./usr/bin/awk", there)))
    assert finding.code == "layer-unsafe"
    assert "two different files at usr/bin/awk" in finding.message


PATHS = st.from_regex(r"(/[a-z0-9._+@-]{1,4}){1,3}", fullmatch=True)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,4}", fullmatch=True)
ROWS = st.lists(st.builds(Link, NAMES) | st.builds(Link, NAMES, PATHS, PATHS), max_size=6)


@settings(max_examples=200)
@given(ROWS)
def test_a_table_as_a_parameter_reads_back_sorted(rows):
    assert alternatives.decode(alternatives.encode(rows)) == tuple(sorted(rows))


@settings(max_examples=200)
@given(st.text(alphabet="a/ \n", max_size=30))
def test_any_other_parameter_is_a_table_or_refused(text):
    try:
        rows = alternatives.decode(text)
    except InputError:
        return
    assert alternatives.decode(alternatives.encode(rows)) == tuple(sorted(rows))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["update-alternatives", " --install", " --slave", " /usr/bin/awk", " $x", "\n", "\\\n",
             ";", '"', " ", "\0", "ä"]
        ),
        max_size=12,
    ).map("".join)
)  # fmt: skip
def test_no_script_that_installs_a_link_slips_through(make, script):
    """Compares with a pattern over the whole script; the layer's reader splits the script."""
    installs = INSTALLS.search(script.replace("\\\n", " "))
    try:
        layer(make, script)
    except InputError:
        assert installs
    else:
        assert not installs


def lock(*links, bases=("aa",), others=("bb",)):
    packages = [
        DebianPackage(
            name=name,
            version="1",
            architecture="amd64",
            base=name in bases,
            path=f"pool/main/x/{name}_1_amd64.deb",
            sha256=Digest.of(name.encode()),
            size=1,
        )
        for name in (*bases, *others)
    ]
    debian = DebianLock(
        environment="cpu",
        suite="bookworm",
        architecture="amd64",
        resolution=Digest.of(b""),
        packages=tuple(packages),
        links=tuple(sorted(links)),
    )
    python = PythonLock(
        environment="cpu", python="3.11", resolution=Digest.of(b""), resolver="uv", packages=()
    )
    # As in a verifier: from the text of the lock alone.
    return EnvironmentLocks(python, deblock.read(deblock.write(debian), file="x"))


def parameters(locks):
    layers = image_layers.environment_layers(locks, "3.11")
    return [plan.parameters for plan in layers if plan.rule == DEBS]


def test_the_lock_alone_tells_each_layer_its_own_rows():
    rows = (Link("aa", "/usr/bin/a", "/usr/bin/a1"), Link("bb"))
    assert [found.get("links") for found in parameters(lock(*rows))] == [
        "aa /usr/bin/a /usr/bin/a1",
        "bb",
    ]


def test_layers_without_rows_are_what_they_were_before_there_were_tables():
    assert parameters(lock()) == [
        {"python": "3.11", "base": True},
        {"python": "3.11", "base": False},
    ]
    base, _ = parameters(lock(Link("bb")))
    assert "links" not in base, "a model's rows leave the base alone"
