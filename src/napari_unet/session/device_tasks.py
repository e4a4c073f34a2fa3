"""The job function that asks torch what this machine can compute on."""

from __future__ import annotations

from napari_unet.jobs import JobContext


def list_devices(context: JobContext) -> tuple[str, ...]:
    """Return what may be asked for: "auto", then the devices torch finds, the fastest kind first."""
    from napari_unet.inference.network.devices import available_devices

    return ("auto", *available_devices())
