"""How to build; imports little, because a memo is asked with it."""

from typing import Any, NamedTuple

from mpbuild.base.accelerator import Accelerator


class BuildOptions(NamedTuple):
    """No accelerators given means all of the spec's; no jobs, as many as processors."""

    accelerators: tuple[Accelerator, ...] = ()
    jobs: int = 0
    offline: bool = False
    sandbox: str = "bwrap"

    @property
    def conditions(self) -> dict[str, Any]:
        """What of it a memo must agree on: the rest changes how, not what."""
        return {"accelerators": sorted(self.accelerators), "sandbox": self.sandbox}
