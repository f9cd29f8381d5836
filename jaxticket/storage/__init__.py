"""Files that are whole or absent: atomic writes, checked JSON, arrays as safetensors, manifests of folders.

What is read is checked, and what is wrong with it is said in one line. Nothing is ever unpickled.
"""

from jaxticket.storage.arrays import dump_arrays as dump_arrays
from jaxticket.storage.arrays import host_array as host_array
from jaxticket.storage.arrays import load_arrays as load_arrays
from jaxticket.storage.arrays import parse_arrays as parse_arrays
from jaxticket.storage.arrays import save_arrays as save_arrays
from jaxticket.storage.bundles import read_bundle as read_bundle
from jaxticket.storage.bundles import write_bundle as write_bundle
from jaxticket.storage.files import PathLike as PathLike
from jaxticket.storage.files import checksum as checksum
from jaxticket.storage.files import naming_errors as naming_errors
from jaxticket.storage.files import read_bytes as read_bytes
from jaxticket.storage.files import replacing as replacing
from jaxticket.storage.files import write_bytes as write_bytes
from jaxticket.storage.files import write_files as write_files
from jaxticket.storage.json_files import check_fields as check_fields
from jaxticket.storage.json_files import checked_json as checked_json
from jaxticket.storage.json_files import parse_checked_json as parse_checked_json
from jaxticket.storage.json_files import parse_json as parse_json
from jaxticket.storage.json_files import plain as plain
from jaxticket.storage.json_files import read_json as read_json
from jaxticket.storage.json_files import unseal as unseal
from jaxticket.storage.json_files import write_json as write_json
from jaxticket.storage.locks import Lock as Lock
from jaxticket.storage.locks import attempt as attempt
from jaxticket.storage.manifest import Manifest as Manifest
from jaxticket.storage.manifest import load_manifest as load_manifest
from jaxticket.storage.manifest import read_manifest as read_manifest
from jaxticket.storage.manifest import write_manifest as write_manifest
