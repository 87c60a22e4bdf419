"""Fitted models in the words of other libraries: scikit-learn, torch and ONNX."""
