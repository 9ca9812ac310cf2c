from napari_unet.core.arrays.boxes import widen


def test_widen_stays_in_the_array():
    assert widen((slice(3, 5), slice(0, 2)), (4, 1), (6, 9)) == (slice(0, 6), slice(0, 3))
