"""What bases and environments say of mirrors, snapshots, security updates and links."""

import pytest

from mpbuild.spec.read import read_model, read_workspace

KEYS = 'keyring = "keys/archive.asc"'
LINK = '{ package = "gawk", path = "/usr/bin/awk", target = "/usr/bin/gawk" }'
OMITTED = '{ package = "gawk", omitted = "nobody calls awk" }'


def test_a_base_names_its_security_mirrors_and_its_snapshot(workspace_text):
    text = workspace_text.replace(
        KEYS,
        f"""\
{KEYS}
security_mirrors = ["https://mirror.example/debian-security/{{snapshot}}"]
snapshot = "20261101T000000Z"
links = [{LINK}]""",
    )
    workspace = read_workspace(text, file="mpbuild.toml")
    base = workspace.bases["debian-trixie"]
    assert base.security
    assert base.security_mirrors == ("https://mirror.example/debian-security/{snapshot}",)
    assert base.snapshot == "20261101T000000Z"
    assert (base.links[0].package, base.links[0].path) == ("gawk", "/usr/bin/awk")
    assert workspace.bases["debian-bookworm"].security, "they count unless a base says otherwise"


@pytest.mark.parametrize(
    ("keys", "where", "said"),
    [
        (
            'security = false\nsecurity_mirrors = ["https://m.example/s"]',
            "security_mirrors",
            "the base excludes security updates (security = false)",
        ),
        (
            'security_mirrors = ["https://m.example/{snapshot}"]',
            "security_mirrors[0]",
            "the URL contains {snapshot}, but the base has no snapshot",
        ),
        ('snapshot = "20261301T000000Z"', "snapshot", "not a snapshot timestamp"),
        ('snapshot = "20261101T240000Z"', "snapshot", "not a snapshot timestamp"),
        ('snapshot = "2026-11-01"', "snapshot", "not a snapshot timestamp"),
        (f"links = [{OMITTED}, {LINK}]", "links[1]", "another entry omits the links of 'gawk'"),
        (
            f"links = [{LINK}, {LINK.replace('gawk', 'mawk')}]",
            "links[1].path",
            "duplicate link /usr/bin/awk",
        ),
        (
            f"links = [{LINK.replace('/usr/bin/awk', '/usr/../awk')}]",
            "links[0].path",
            "not an absolute path in the image",
        ),
        ('links = [{ package = "gawk" }]', "links[0]", "exactly one of path and target | omitted"),
    ],
)
def test_a_base_that_contradicts_itself_is_refused(
    workspace_text, findings_of_workspace, keys, where, said
):
    (finding,) = findings_of_workspace(workspace_text.replace(KEYS, f"{KEYS}\n{keys}"))
    assert finding.message.startswith(f"bases.debian-trixie.{where}: ")
    assert said in finding.message


@pytest.mark.parametrize(
    ("table", "place"),
    [("[environments.newer]", "environments.newer"), ("[environment]", "environment")],
)
def test_link_tables_of_environments_are_checked_as_those_of_bases(
    model_text, workspace, findings_of_model, table, place
):
    text = model_text.replace(table, f"{table}\nlinks = [{OMITTED}, {LINK}]")
    (finding,) = findings_of_model(text)
    assert finding.message == f"{place}.links[1]: another entry omits the links of 'gawk'"
    text = model_text.replace(table, f"{table}\nlinks = [{LINK}]")
    model = read_model(text, file="model.toml", folder="a/b/c", workspace=workspace)
    link = (model.environments["newer"] if "newer" in table else model.environment).links[0]
    assert (link.path, link.target, link.omitted) == ("/usr/bin/awk", "/usr/bin/gawk", None)
