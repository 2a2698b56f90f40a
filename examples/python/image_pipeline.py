# SPDX-License-Identifier: MIT
"""A pipeline over images: denoise, find the edges, collect a histogram. With multiprocessing alone.

    python image_pipeline.py [-n IMAGES] [-s SIDE]                 with the standard library
    python -m tutti image_pipeline.py [-n IMAGES] [-s SIDE]        the same on Tutti

Each image goes to a worker as an array and comes back as one: that is what this program spends its time on.
"""

import argparse
import multiprocessing

import numpy


def make_image(number, side):
    """Discs on a gradient, with noise: as a camera's frame would arrive."""
    random = numpy.random.default_rng(number)
    y, x = numpy.mgrid[0:side, 0:side].astype(numpy.float32) / side
    image = (x + y) / 2
    for _ in range(5):
        center_x, center_y, radius = random.random(3, numpy.float32) * (1, 1, 0.2)
        image[(x - center_x) ** 2 + (y - center_y) ** 2 < radius**2] = random.random()
    return image + random.normal(0, 0.05, image.shape).astype(numpy.float32)


def blurred(image):
    """Each pixel with its neighbours above, below, left and right."""
    around = numpy.pad(image, 1, mode="edge")
    return (image + around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 5


def edges(image):
    smooth = blurred(image)
    return numpy.hypot(smooth - numpy.roll(smooth, 1, 0), smooth - numpy.roll(smooth, 1, 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", dest="images", type=int, default=8)
    parser.add_argument("-s", dest="side", type=int, default=256, help="pixels of a side")
    options = parser.parse_args()
    frames = [make_image(number, options.side) for number in range(min(options.images, 8))]
    histogram = numpy.zeros(64, numpy.int64)
    with multiprocessing.Pool() as pool:
        for result in pool.imap(edges, (frames[number % len(frames)] for number in range(options.images))):
            histogram += numpy.histogram(result, 64, (0, 1))[0]
    print(f"{options.images} images, {histogram.sum()} pixels, {histogram[16:].sum()} of them on edges")


if __name__ == "__main__":
    main()
