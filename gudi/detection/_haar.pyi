import numpy as np
import numpy.typing as npt

class Cascade:
    def __new__(
        cls,
        variant: str,
        sizes: npt.NDArray[np.int32],
        thresholds: npt.NDArray[np.float32],
        stumps: npt.NDArray[np.float32],
        counts: npt.NDArray[np.uint8],
        parts: npt.NDArray[np.uint8],
    ) -> Cascade: ...
    def hits(self, grey: npt.NDArray[np.uint8], scales: npt.NDArray[np.float32]) -> bytes: ...

def variants() -> list[str]: ...
