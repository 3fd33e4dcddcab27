"""The one list of steps. Install applies it in this order, uninstall undoes it in reverse."""

from __future__ import annotations

from airgap.isolated.steps.authorities import AuthoritiesStep
from airgap.isolated.steps.base import Step
from airgap.isolated.steps.builder import BuilderStep
from airgap.isolated.steps.buildx import BuildxStep
from airgap.isolated.steps.docker_mirror import DockerMirrorStep
from airgap.isolated.steps.emulator import EmulatorStep
from airgap.isolated.steps.enable import EnableStep
from airgap.isolated.steps.listen import ListenStep
from airgap.isolated.steps.load import LoadStep
from airgap.isolated.steps.mirror import MirrorStep
from airgap.isolated.steps.push import PushStep
from airgap.isolated.steps.recordings import RecordingsStep
from airgap.isolated.steps.registry import RegistryStep
from airgap.isolated.steps.seed import SeedStep
from airgap.isolated.steps.tool import ToolStep

STEPS: tuple[Step, ...] = (
    ToolStep(),
    SeedStep(),
    RecordingsStep(),
    PushStep(),
    LoadStep(),
    EmulatorStep(),
    MirrorStep(),
    RegistryStep(),
    ListenStep(),
    AuthoritiesStep(),
    BuilderStep(),
    BuildxStep(),
    EnableStep(),
    DockerMirrorStep(),
)
STEP_NAMES = tuple(step.name for step in STEPS)
