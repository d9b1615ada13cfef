"""An exported torch program: for GPUs without TensorRT, and as a second opinion on the CPU."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch.export.passes import move_to_device_pass

from contract.errors import BadModel, EngineFailed
from contract.model_card import ModelCard, weights_of
from models.engines import Crops, Outputs
from models.engines.crops import ANY_EDGE, checked, noise
from models.engines.deferred import Deferred, Put

_PLAIN = re.compile(
    r"data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|models/model\.json|archive_format|archive_version|byteorder|\.data/(version|serialization_id)"
)
_SAMPLES = "data/sample_inputs/model.pt"


class TorchEngine:
    """A net run by torch on any of its devices; the card's file is an exported program (.pt2)."""

    def __init__(self, card: ModelCard, folder: Path, device: str = "cpu") -> None:
        self.card = card
        self._device = torch.device(device)
        program = open_program(weights_of(card, folder), card.name)
        if self._device.type != "cpu":
            program = move_to_device_pass(program, self._device)
        self._run = program.module()
        self._deferred = Deferred(self.__call__, card.name)

    def __call__(self, crops: Crops) -> Outputs:
        """Return the outputs of crops (N, H, W, 3) u8 RGB."""
        crops = checked(crops, self.card)
        if len(crops) == 0:  # a program cannot reshape nothing; one crop tells the shapes
            edge = self.card.input_edge
            return {name: values[:0] for name, values in self(np.zeros((1, edge, edge, 3), np.uint8)).items()}
        if not crops.flags.writeable:
            crops = crops.copy()  # torch refuses to promise that it will not write
        try:
            with torch.inference_mode():
                logits = self._run(torch.from_numpy(crops).to(self._device)).float().cpu().numpy()
        except torch.AcceleratorError as error:
            raise EngineFailed(f"{self.card.name}: torch on {self._device}: {str(error).splitlines()[0]}") from error
        return {self.card.output: logits}

    def submit(self, crops: Crops) -> Put:
        """Begin a batch of crops (N, H, W, 3) u8 RGB on the engine's own thread and return its ticket."""
        return self._deferred.submit(checked(crops, self.card))

    def warm_up(self, most: int) -> None:
        """Run one batch of `most` crops: the first one of a size makes buffers."""
        self(noise(self.card.input_edge or ANY_EDGE, max(1, most)))

    def close(self) -> None:
        """Finish what was submitted and end the engine's own thread."""
        self._deferred.close()


def open_program(body: bytes, name: str) -> torch.export.ExportedProgram:
    """The program in a .pt2 archive that holds a graph as JSON and tensors as raw bytes, and nothing else.

    torch itself would unpickle custom objects, pickled tensors and sample inputs; an archive with any is refused.

    Raises:
        BadModel: the archive is damaged, holds something else, or comes from another version of torch.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            _refuse_pickles(archive, name)
        return torch.export.load(io.BytesIO(body))
    except BadModel:
        raise
    except Exception as error:  # torch raises whatever its JSON leads it into
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadModel(f"{name}: torch {torch.__version__} cannot open this program ({reason})") from error


def _refuse_pickles(archive: zipfile.ZipFile, name: str) -> None:
    if len(set(archive.namelist())) != len(archive.namelist()):  # which of two would torch read?
        raise BadModel(f"{name}: the archive holds a name twice")
    for entry in archive.infolist():
        inner = entry.filename.partition("/")[2]
        if not (_PLAIN.fullmatch(inner) or (inner == _SAMPLES and entry.file_size == 0)):
            raise BadModel(f"{name}: the archive holds {entry.filename!r}, wanted only a graph and plain tensors")
        if inner.endswith("_config.json"):
            for weight, payload in json.loads(archive.read(entry))["config"].items():
                if payload["use_pickle"]:
                    raise BadModel(f"{name}: {weight!r} is pickled in the archive, wanted raw bytes")
