"""A machine-learning bill of materials of a patch, as CycloneDX 1.6 JSON (ECMA-424)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from ..rack.card import Card
from ..version import __version__
from .documents import NOT_CLAIMED
from .patch_facts import PatchFacts

LIBRARIES = ("numpy", "torch", "auraloss", "soundfile", "soxr", "safetensors")  # that a fit or a rendering uses
SPACE = uuid.UUID("6f5c1d5e-6a0e-4a0d-9b53-0b5c6f9c7b11")


def bill_of_materials(facts: PatchFacts) -> dict[str, Any]:
    """The bill: the rack as a machine-learning model with its card, its recordings as data, its effects and libraries."""
    data = [_recording(i, r) for i, r in enumerate(facts.recordings)]
    parts = [_effect(address, effect.card) for address, effect in facts.effects.items()]
    libraries = [_library(name) for name in LIBRARIES]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(SPACE, facts.sha256)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "tools": {"components": [{"type": "application", "name": "twinrack", "version": __version__}]},
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "rack",
                "name": facts.rack.name,
                "version": facts.written.get("version", facts.sha256[:12]),
                "hashes": [{"alg": "SHA-256", "content": facts.sha256}],
                **({"description": facts.written["purpose"]} if "purpose" in facts.written else {}),
                **({"supplier": {"name": facts.written["provider"]}} if "provider" in facts.written else {}),
                **({"licenses": [{"license": {"name": facts.written["licence"]}}]} if "licence" in facts.written else {}),
                "modelCard": _card(facts, [d["bom-ref"] for d in data]),
            },
            "properties": [{"name": "twinrack:conformity", "value": NOT_CLAIMED}],
        },
        "components": [*parts, *data, *(x for x in libraries if x is not None)],
        "dependencies": [{"ref": "rack", "dependsOn": [c["bom-ref"] for c in (*parts, *data)]}],
    }


def _card(facts: PatchFacts, data: list[str]) -> dict[str, Any]:
    networks = facts.networks
    parameters: dict[str, Any] = {
        "task": "audio effect",
        "architectureFamily": "interpretable signal processing" + (" with neural networks" if networks else ""),
        "modelArchitecture": " -> ".join(e.card.name for e in facts.effects.values()) or "empty",
        "datasets": [{"ref": ref} for ref in data],
        "inputs": [{"format": "audio, float32, channels by frames"}],
        "outputs": [{"format": "audio, float32, channels by frames"}],
    }
    if facts.is_fitted:
        parameters["approach"] = {"type": "supervised"}
    card: dict[str, Any] = {"bom-ref": "model-card", "modelParameters": parameters}
    fitted = (facts.provenance.get("held_out") or {}).get("fitted") or {}
    metrics = [
        {"type": name, "value": f"{fitted[key]:.4g}", "slice": "held-out audio"}
        for name, key in (("error, dB", "error_db"), ("multi-resolution STFT", "stft"), ("level error, dB", "level_db"))
        if isinstance(fitted.get(key), float)
    ]
    if metrics:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    considerations: dict[str, Any] = {
        "technicalLimitations": [t for e in facts.effects.values() for t in e.card.assumptions],
    }
    for key, name in (("users", "users"), ("purpose", "useCases")):
        if key in facts.written:
            considerations[name] = [facts.written[key]]
    if "risks" in facts.written:
        considerations["ethicalConsiderations"] = [{"name": facts.written["risks"]}]
    v = facts.validation
    if v is not None:
        failures = v.get("first_failures")
        considerations["technicalLimitations"] += [
            f"fails at {f.get('rung')}: {f.get('measure')} off by {f.get('value')} {f.get('unit')}"
            for f in (failures if isinstance(failures, list) else ())
            if isinstance(f, Mapping)
        ]
    card["considerations"] = considerations
    return card


def _recording(number: int, recording: Any) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": str(recording[k])} for k in ("dry_sha256",) if _is_sha256(recording.get(k))]
    properties = [
        {"name": f"twinrack:{k}", "value": str(recording[k])} for k in ("seconds", "wet_sha256") if recording.get(k) is not None
    ]
    entry: dict[str, Any] = {
        "type": "data",
        "bom-ref": f"recording-{number + 1}",
        "name": str(recording.get("name") or f"recording {number + 1}"),
        "data": [{"type": "dataset", "name": str(recording.get("name") or "recording")}],
        "properties": properties,
    }
    return {**entry, "hashes": hashes} if hashes else entry


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _effect(address: str, card: Card) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": f"effect-{address}",
        "group": "twinrack",
        "name": card.id,
        "version": card.version,
        "description": card.purpose,
        "properties": [{"name": "twinrack:address", "value": address}],
    }


def _library(name: str) -> dict[str, Any] | None:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
    reference = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference.replace("+", "%2B")}
