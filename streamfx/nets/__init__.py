"""The networks, defined once in torch: trained here, shipped as files, run by OpenVINO or a GPU."""

from streamfx.nets.catalogue import NETWORKS, AsRun, build

__all__ = ["NETWORKS", "AsRun", "build"]
