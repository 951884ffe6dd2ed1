"""The main job once, on one machine: three synthetic hospitals and a centre, from DICOM to a federated model.

Everything happens through Airflow's REST API, exactly as people do it in the UI: staff prepare, a reviewer signs, an
operator starts the federation, custodians approve. Only the making of the patients is the demo's own.
"""
