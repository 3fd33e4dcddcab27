"""What images of the mirror have builds that derive from them do."""

from __future__ import annotations

import json
from collections.abc import Sequence

from airgap.errors import AirgapError
from airgap.limits import LIMITS
from airgap.oci.image_tree import image_for
from airgap.oci.manifest import Index
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.offline.inputs import BuildInputs


def triggers(inputs: BuildInputs, reference: Reference, platform: Platform) -> Sequence[str]:
    """Return the ONBUILD triggers of an image (OCI image spec, `config.md`; `OnBuild` is Docker's).

    None if the image is not there, or cannot be read: the build itself will say why.
    """
    entry = inputs.desired.find(reference)
    if entry is None:
        return ()
    try:
        documents = inputs.mirror.manifests(entry)
        top = documents[entry.digest]
        manifest = image_for(entry.digest, documents, platform) if isinstance(top, Index) else top
        if manifest is None:
            return ()
        body = inputs.mirror.small_blob(manifest.config.digest, LIMITS.config_bytes)
        found = json.loads(body)["config"]["OnBuild"]
    except (AirgapError, OSError, ValueError, KeyError, TypeError):
        return ()
    return [item for item in found or () if isinstance(item, str)]
