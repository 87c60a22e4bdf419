"""Export: fitted models as ONNX graphs. The packages onnx and skl2onnx are imported where they are used."""
