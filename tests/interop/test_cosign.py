"""Stock cosign verifies what mpbuild signs, from the layout and with the public key alone."""

import base64
import json
import shutil
import subprocess

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.network, pytest.mark.sandbox]


@pytest.fixture(scope="module")
def cosign():
    found = shutil.which("cosign")
    if found is None:
        pytest.skip("cosign is not on PATH; `make interop` builds it")
    return found


def verify(cosign, layout, key):
    command = [
        *(cosign, "verify-attestation", "--local-image", "--type", "slsaprovenance1"),
        *("--insecure-ignore-tlog=true", "--key", key, layout),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_cosign_accepts_the_provenance_in_a_layout(cosign, package):
    done = verify(cosign, package.signed_layout, package.public_key)
    assert done.returncode == 0, done.stderr
    statement = json.loads(base64.b64decode(json.loads(done.stdout.splitlines()[0])["payload"]))
    digests = {f"sha256:{subject['digest']['sha256']}" for subject in statement["subject"]}
    assert package.digest in digests


def test_cosign_refuses_another_key(cosign, package, tmp_path):
    subprocess.run(
        [cosign, "generate-key-pair"],
        cwd=tmp_path,
        env={"COSIGN_PASSWORD": "", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    done = verify(cosign, package.signed_layout, tmp_path / "cosign.pub")
    assert done.returncode != 0


def test_cosign_finds_nothing_in_an_unsigned_layout(cosign, package):
    assert verify(cosign, package.layout, package.public_key).returncode != 0
