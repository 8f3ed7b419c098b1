"""Images at a tower's input size: whole, resized once, never cropped."""

from jaxtyping import UInt8
from numpy import ndarray

from sceneminer.data.media import resize_image
from sceneminer.model.tower import Tower


def fit_tower(image: UInt8[ndarray, "h w 3"], tower: Tower) -> UInt8[ndarray, "h2 w2 3"]:
    """The whole image at the tower's input size."""
    height, width = tower.input_size(image.shape[1], image.shape[0])
    return resize_image(image, (width, height), resample=tower.resample)
