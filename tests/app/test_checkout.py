"""``verify --source``: whether a package is what a checkout would give."""

import shutil

import pytest

from mpbuild.base.digest import Digest

MODEL = "models/tiny"
LOCK = "lockfiles/models/tiny/pylock.cpu.toml"


@pytest.fixture
def checkout(tiny, tmp_path):
    """A copy of the workspace, to be changed."""
    return shutil.copytree(tiny.workspace, tmp_path / "checkout")


@pytest.fixture
def compare(signed, checkout):
    """The verdict on the package beside the checkout as it is now."""
    return lambda folder=checkout: signed.verify("--source", str(folder))


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_same_checkout_passes(compare):
    assert compare().passed


def test_the_folder_of_the_target_will_do(compare, checkout):
    assert compare(checkout / MODEL).passed


def test_a_changed_source_is_found(compare, checkout):
    (checkout / MODEL / "src/tiny/model.py").write_text("changed\n")
    answer = compare()
    assert answer.failed_with("content-mismatch")
    assert f"{MODEL}/src/tiny/model.py" in answer.told("content-mismatch")


def test_an_added_source_is_found(compare, checkout):
    (checkout / MODEL / "src/tiny/more.py").write_text("more = 1\n")
    answer = compare()
    assert answer.failed_with("content-mismatch")
    assert "missing from the package" in answer.told("content-mismatch")


def test_a_removed_source_is_found(compare, checkout):
    (checkout / MODEL / "src/tiny/model.py").unlink()
    answer = compare()
    assert answer.failed_with("content-mismatch")
    assert "/opt/model/src/tiny/model.py" in answer.told("content-mismatch")


def test_an_executable_bit_is_found(compare, checkout):
    (checkout / MODEL / "src/tiny/model.py").chmod(0o755)
    answer = compare()
    assert answer.failed_with("content-mismatch")
    assert "executable" in answer.told("content-mismatch")


def test_changed_weights_of_the_workspace_are_found(compare, checkout):
    (checkout / MODEL / "weights/numbers.bin").write_bytes(b"others")
    answer = compare()
    assert answer.failed_with("content-mismatch")
    assert "numbers.bin" in answer.told("content-mismatch")


def test_absent_weights_of_the_workspace_are_found(compare, checkout):
    (checkout / MODEL / "weights/numbers.bin").unlink()
    assert compare().failed_with("content-mismatch")


def test_a_changed_spec_is_found(compare, checkout):
    edit(checkout / MODEL / "model.toml", "As small as", "Not as small as")
    answer = compare()
    assert answer.failed_with("content-mismatch")
    assert "another spec" in answer.told("content-mismatch")


def test_a_comment_in_the_spec_is_no_change(compare, checkout):
    path = checkout / MODEL / "model.toml"
    path.write_text("# a comment\n" + path.read_text())
    assert compare().passed


@pytest.mark.parametrize("name", [LOCK, "lockfiles/models/tiny/debian.cpu.toml"])
def test_a_changed_lock_is_found(compare, checkout, name):
    """Row 95."""
    path = checkout / name
    path.write_text(path.read_text() + "\n")
    answer = compare()
    assert answer.failed_with("lock-mismatch")
    assert path.name in answer.told("lock-mismatch")


def test_an_absent_lock_is_found(compare, checkout):
    (checkout / LOCK).unlink()
    assert compare().failed_with("lock-mismatch")


def test_a_checkout_of_something_else_is_found(compare, checkout):
    edit(checkout / MODEL / "model.toml", 'name = "tiny"', 'name = "huge"')
    answer = compare()
    assert answer.failed_with("content-mismatch")
    assert "0 targets" in answer.told("content-mismatch")


def test_two_targets_of_the_name_are_distinguished_by_their_folder(compare, checkout):
    shutil.copytree(checkout / MODEL, checkout / "models/copy")
    assert compare().failed_with("content-mismatch")
    assert compare(checkout / MODEL).passed


def test_a_broken_target_beside_it_does_not_matter(compare, checkout):
    (checkout / "models/broken").mkdir()
    (checkout / "models/broken/model.toml").write_text("][")
    assert compare().passed


def test_a_broken_spec_is_another_spec(compare, checkout):
    path = checkout / MODEL / "model.toml"
    path.write_text(path.read_text() + "\n[unheard-of]\n")
    assert compare().failed_with("content-mismatch")


def test_a_link_that_leads_out_of_the_checkout_is_a_verdict(compare, checkout, tmp_path):
    path = checkout / MODEL / "src/tiny/model.py"
    path.replace(tmp_path / "elsewhere.py")
    path.symlink_to(tmp_path / "elsewhere.py")
    answer = compare()
    assert answer.code in (0, 1)
    assert answer.failed_with("content-mismatch")


def test_a_folder_that_is_no_checkout_is_a_wrong_usage(signed, tmp_path):
    assert signed.verify("--source", str(tmp_path)).code == 2
    assert signed.verify("--source", str(tmp_path / "absent")).code == 2


def test_what_can_be_read_is_compared_although_the_signature_is_missing(unsigned, checkout):
    (checkout / MODEL / "src/tiny/model.py").write_text("changed\n")
    answer = unsigned.verify("--source", str(checkout))
    assert answer.failed_with("signature-missing", "content-mismatch")


def test_the_comparison_runs_nothing_of_the_checkout(compare, monkeypatch, tmp_path):
    monkeypatch.setenv("TELLTALE", str(tmp_path / "telltale"))
    assert compare().passed
    assert not (tmp_path / "telltale").exists()


FETCHED = b"weights from elsewhere"


def with_files(root):
    """Add a file that travels with the weights, and weights that are fetched."""
    (root / MODEL / "labels.json").write_text('["zero", "one"]\n')
    digest = Digest.of(FETCHED).hex
    edit(
        root / MODEL / "model.toml",
        "[io]\n",
        "[[core.weights]]\n"
        f'name = "far"\nversion = "1.0.0"\nurl = "https://files.example/w"\nsha256 = "{digest}"\n'
        f"size = {len(FETCHED)}\n"
        '[[core.files]]\nname = "labels"\nversion = "1.0.0"\npath = "labels.json"\n[io]\n',
    )


@pytest.fixture
def filed(tiny, rebuild):
    """The package with those."""
    tiny.store.put_bytes(FETCHED)
    return rebuild(with_files)


@pytest.fixture
def filed_checkout(checkout):
    with_files(checkout)
    return checkout


def test_files_are_compared_and_fetched_weights_are_not_looked_for(filed, filed_checkout):
    assert filed.verify("--source", str(filed_checkout)).told("content-mismatch") == ""


def test_a_changed_file_beside_the_weights_is_found(filed, filed_checkout):
    (filed_checkout / MODEL / "labels.json").write_text("[]\n")
    told = filed.verify("--source", str(filed_checkout)).told("content-mismatch")
    assert f"{MODEL}/labels.json: the package has other bytes for this file" in told
