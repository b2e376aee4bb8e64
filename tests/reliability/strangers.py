"""What a stranger may put in the configuration of a run."""

from typing import Any

CODE = "__import__('pathlib').Path('ran').touch()"
FOREIGN: dict[str, Any] = {  # each leaves a file named "ran", were it built
    "a command": {"_target_": "os.system", "_args_": ["touch ran"]},
    "a process": {"_target_": "subprocess.run", "args": ["touch", "ran"]},
    "builtins": {"_target_": "builtins.exec", "_args_": [CODE]},
    "a method": {"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path", "_args_": ["ran"]}]},
    "a file": {"_target_": "numpy.savetxt", "fname": "ran", "X": [1, 2]},
    "a pickle": {"_target_": "torch.load", "f": "evil.pt", "weights_only": False},
    "an expression": {"_target_": "sympy.sympify", "a": CODE},
    "a writer of ours": {"_target_": "ot_gen.execution.write_text", "path": "ran", "text": "x"},
    "a record of ours": {"_target_": "ot_gen.runs.writer.RecordWriter", "folder": "ran", "record": None},
    "a module's module": {"_target_": "ot_gen.networks.dense.torch.save", "obj": 1, "f": "ran"},
    "an object by name": {"_target_": "hydra.utils.get_method", "path": "os.system"},
    "another object": {"_target_": "hydra.utils.get_object", "path": "os.system"},
    "a partial call": {"_target_": "functools.partial", "_args_": [{"_target_": "os.system", "_partial_": True}]},
    "training": {"_target_": "ot_gen.fit", "_partial_": True, "checkpoint": "ran"},
    "a download": {"_target_": "ot_gen.data.mnist_full", "folder": "ran"},
    "a mirror": {"_target_": "ot_gen.data.mnist_full", "mirrors": ["http://127.0.0.1:1/"]},
    "a loader by name": {
        "_target_": "functools.partial",
        "_args_": [{"_target_": "hydra.utils.get_method", "path": "ot_gen.data.mnist_full"}],
        "folder": "ran",
        "mirrors": ["http://127.0.0.1:1/"],
    },
    "a loader in part": {"_target_": "ot_gen.data.mnist_full", "_partial_": True},
    "a lookup in part": {"_target_": "hydra.utils.get_method", "path": "torch.nn.GELU", "_partial_": True},
    "a call by name": {"_target_": "hydra.utils.get_method", "path": "functools.partial"},
    "an interpolation": "${oc.env:HOME}",
    "no text": {"_target_": ["os.system"]},
}
PLACES = ("data", "generator", "solver.cost", "solver.potential.net", "trainer.optimizer", "reference")
