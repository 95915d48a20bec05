import numpy as np

from fintok.hashing import mixed


def test_the_first_numbers_of_splitmix64_from_seed_0():
    states = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert mixed(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
