"""SLSA provenance v1 from the record of a build: who built what from which bytes.

``resolvedDependencies`` lists every input and every leaf with its sha256, so that a verifier
who has the package's locks can tell that nothing was left out.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from mpbuild.base.digest import Digest
from mpbuild.formats.evidence.provenance import BUILD_TYPE
from mpbuild.formats.evidence.record import Record
from mpbuild.formats.evidence.statement import PROVENANCE, Statement, Subject

LOCAL_BUILDER = "urn:mpbuild:builder:local"

# The leaves that the actions of a rule make.
_MADE = {"step": "step", "bytecode": "bytecode", "pex-bootstrap": "pex"}


def provenance(record: Record, subjects: tuple[Subject, ...], builder_id: str) -> Statement:
    """The statement that ``builder_id`` made ``subjects`` as ``record`` says."""
    return Statement(subjects, PROVENANCE, predicate(record, builder_id))


def predicate(record: Record, builder_id: str) -> dict[str, Any]:
    """The predicate alone."""
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "label": str(record.label),
                "accelerators": list(record.accelerators),
            },
            "internalParameters": {"hermetic": record.hermetic},
            "resolvedDependencies": [*_source(record), *_dependencies(record)],
        },
        "runDetails": {
            "builder": {"id": builder_id, "version": {"mpbuild": record.mpbuild}},
            "metadata": {
                "invocationId": str(record.digest),
                "startedOn": _time(record.started),
                "finishedOn": _time(record.finished),
            },
        },
    }


def _source(record: Record) -> Iterator[dict[str, Any]]:
    """The commit of the workspace, and whether the tree was as committed."""
    if record.source.commit:
        yield {
            "name": "workspace",
            "digest": {"gitCommit": record.source.commit},
            "annotations": {"dirty": record.source.dirty},
        }


def _dependencies(record: Record) -> Iterator[dict[str, Any]]:
    """Inputs, leaves, and what sandboxed actions read and made, by kind and name."""
    for one in sorted(record.inputs):
        yield _resource(one.name, one.digest, one.kind)
    for name, digest in sorted(record.leaves.items()):
        kind, _, rest = name.partition(":")
        yield _resource(rest, digest, kind)
    for action in record.actions:
        if action.rule in _MADE:
            for name, digest in sorted(action.inputs.items()):
                yield _resource(f"{action.name}/{name}", digest, "step-input")
            run = {"sandboxed": action.sandboxed, "result": action.result}
            for name, digest in sorted(action.outputs.items()):
                title = f"{action.name.partition(':')[2] or action.name}/{name}"
                yield _resource(title, digest, _MADE[action.rule], **run)


def _resource(name: str, digest: Digest, kind: str, **more: object) -> dict[str, Any]:
    """A ResourceDescriptor; ``kind`` says where in a package its bytes are."""
    return {"name": name, "digest": {"sha256": digest.hex}, "annotations": {"kind": kind, **more}}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
