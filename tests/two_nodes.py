"""A Ray cluster of two nodes on loopback, as a program: one node is killed when a line comes in."""

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Ray's own switch for machines without a cluster: everything listens on loopback alone.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def main() -> None:
    """Print the address; kill the second node at the first line, and end with the input."""
    from ray.cluster_utils import Cluster

    of_node = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 200 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=of_node)
    second = cluster.add_node(num_cpus=2, object_store_memory=200 * 2**20)
    print(cluster.address, flush=True)
    if sys.stdin.readline():
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
