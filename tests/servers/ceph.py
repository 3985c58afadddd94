"""Ceph's S3 gateway with what it needs behind it: a monitor and one storage daemon whose disk is memory.

Everything listens on 127.0.0.1, on ports that were free. It takes about ten seconds to start; nothing of it outlives
the test run. The steps are those of Ceph's manual deployment: https://docs.ceph.com/en/pacific/install/manual-deployment
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from tests.servers.processes import ServerProcess, answers, free_port

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PACKAGE = "--no-install-recommends ceph-mon ceph-osd radosgw"
ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"

_RIGHTS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
    "client.gateway": {"mon": "allow rwx", "osd": "allow rwx"},
}
_SETTINGS = """
[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{monitor_port}
public_network = 127.0.0.0/8
auth_allow_insecure_global_id_reclaim = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 2
osd_objectstore = memstore
memstore_device_bytes = 4294967296
run_dir = {folder}
admin_socket = {folder}/$name.socket
log_file = {folder}/$name.log
keyring = {folder}/keyring
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{port}
"""


@contextmanager
def ceph_gateway(folder: Path) -> Iterator[str]:
    """Run a gateway and give its address; its only user has ACCESS_KEY and SECRET_KEY."""
    port, monitor_port, fsid = free_port(), free_port(), str(uuid4())
    settings = folder / "ceph.conf"
    settings.write_text(_SETTINGS.format(folder=folder, fsid=fsid, port=port, monitor_port=monitor_port))
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    with ExitStack() as running:

        def once(*command: str) -> None:
            with (folder / "setup.log").open("ab") as log:
                subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def start(*command: str) -> ServerProcess:
            server = ServerProcess([*command, "-c", str(settings), "-f"], folder / "daemons.log")
            running.callback(server.stop)
            return server

        keyring = str(folder / "keyring")
        for number, (entity, rights) in enumerate(_RIGHTS.items()):
            options = [option for area, right in rights.items() for option in ("--cap", area, right)]
            once("ceph-authtool", keyring, *([] if number else ["--create-keyring"]), "-g", "-n", entity, *options)
        monitors = str(folder / "monmap")
        once("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{monitor_port}]", monitors)
        once("ceph-mon", "-c", str(settings), "-i", "a", "--mkfs", "--monmap", monitors, "--keyring", keyring)
        start("ceph-mon", "-i", "a").wait_for(lambda: answers(monitor_port))
        once("ceph", "-c", str(settings), "--connect-timeout", "30", "osd", "create")
        once("ceph-osd", "-c", str(settings), "-i", "0", "--mkfs")
        start("ceph-osd", "-i", "0")
        gateway = start("radosgw", "-n", "client.gateway")
        once(
            *("radosgw-admin", "-c", str(settings), "user", "create", "--uid=tester", "--display-name=tester"),
            *(f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}"),
        )
        gateway.wait_for(lambda: answers(port))
        yield f"http://127.0.0.1:{port}"
