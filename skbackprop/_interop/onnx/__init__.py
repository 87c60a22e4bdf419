"""Export of fitted models to ONNX. The packages onnx and skl2onnx are imported where they are used."""
