"""The window that a plugin brings itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from ..rack.external_effect import ExternalEffect
from .child import HostProcess, PluginDiedError, PluginError
from .plugin_card import PluginParameter

POLL_S = 0.05
OPEN_S = 30.0
PATIENCE_S = 24 * 3600.0  # a dialogue of the plugin may keep it from answering; its sound goes on


class EditorWindow:
    """The window of a plugin, on an X11 display. Values that are moved in it move the effect, and the other way.

    Args:
        effect: which is moved.
        host: the process of the plugin, which is not closed with the window.
        done: called when the window was closed, with that process.
        finish: called at the end in any case.

    Attributes:
        is_open: whether it is.

    Raises:
        PluginError: the plugin has no window, or there is no display; one sentence.
    """

    def __init__(
        self, effect: ExternalEffect, host: HostProcess, done: Callable[[HostProcess], None], finish: Callable[[], None]
    ) -> None:
        self._effect, self._host, self._done, self._finish = effect, host, done, finish
        self._error: PluginDiedError | PluginError | None = None
        self._controls: Mapping[str, PluginParameter] = {
            p.id: p for p in effect.card.parameters if isinstance(p, PluginParameter)
        }
        self._stops = threading.Event()
        host.request("edit", effect.name or effect.card.name, seconds=OPEN_S)
        self._of_plugin = self._numbers()
        self._of_effect = {id: effect.get(id) for id in self._controls}
        self._thread = threading.Thread(target=self._follow, name=f"twinrack-window-{effect.card.name}", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until somebody closes it; whether it is closed.

        Raises:
            PluginDiedError: the plugin's process ended instead; what was moved until then is the effect's.
        """
        self._thread.join(seconds)
        if not self.is_open and (error := self._error) is not None:
            self._error = None
            raise error
        return not self.is_open

    def close(self) -> None:
        """Close it; its last values are taken over. Raises as `wait`."""
        self._stops.set()
        if threading.current_thread() is not self._thread:
            self.wait()

    def __enter__(self) -> EditorWindow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _numbers(self) -> dict[str, float]:
        every = self._host.json("values")
        return {id: float(every[p.port] or 0.0) for id, p in self._controls.items()}

    def _follow(self) -> None:
        try:
            goes_on = True
            while goes_on:
                goes_on = not self._stops.wait(POLL_S) and self._host.request("is-open", seconds=PATIENCE_S) == b"1"
                self._take_over()
            self._host.request("close")
            self._done(self._host)
        except (PluginDiedError, PluginError) as error:
            self._error = error
        finally:
            self._finish()

    def _take_over(self) -> None:
        """Whatever moved since the last look moves the other side; the window first."""
        numbers = self._numbers()
        for id, p in self._controls.items():
            value = self._effect.get(id)
            if numbers[id] != self._of_plugin[id]:
                value = p.from_plugin(p.rounded(numbers[id]))
                self._host.request("moved", p.port, f"{p.to_engine(value):.9g}")
                self._effect.set(id, value)
            elif value != self._of_effect[id]:
                self._host.request("set", p.port, f"{p.to_engine(value):.9g}")
            self._of_effect[id] = self._effect.get(id)
        self._of_plugin = numbers
