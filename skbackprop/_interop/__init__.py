"""Conversion of fitted models for other libraries: scikit-learn, torch and ONNX."""
