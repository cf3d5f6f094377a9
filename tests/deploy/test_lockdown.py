"""Each recipe locks its container down as the image's own test does, and its parts fit together."""

from tests.deploy.recipes import (
    COMPOSE,
    ECS,
    OBJECTS,
    POD,
    POD_CONTAINER,
    TASK,
    TASK_CONTAINER,
    load,
)


def test_a_pod_passes_the_restricted_standard_and_writes_to_its_tmpfs_alone() -> None:
    pod, container = POD["spec"]["securityContext"], POD_CONTAINER["securityContext"]
    # The image names its user, and Kubernetes believes numbers only.
    assert pod["runAsNonRoot"]
    assert pod["runAsUser"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["automountServiceAccountToken"] is False
    (volume,) = POD["spec"]["volumes"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Mi"}


def test_a_container_of_compose_is_locked_down_like_a_pod() -> None:
    assert COMPOSE["read_only"]
    assert COMPOSE["cap_drop"] == ["ALL"]
    assert COMPOSE["security_opt"] == ["no-new-privileges:true"]
    assert not COMPOSE["user"].startswith("0")
    assert [mount.split(",")[0] for mount in COMPOSE["tmpfs"]] == ["/tmp:size=64m"]  # noqa: S108
    assert COMPOSE["mem_limit"] == "${MEMORY:-512m}"


def test_a_task_is_locked_down_as_far_as_fargate_allows() -> None:
    assert TASK_CONTAINER["readonlyRootFilesystem"]
    assert TASK_CONTAINER["linuxParameters"] == {"capabilities": {"drop": ["ALL"]}}
    assert not TASK_CONTAINER["user"].startswith("0")
    # Fargate refuses these (Amazon ECS: task definition differences for Fargate).
    assert "dockerSecurityOptions" not in TASK_CONTAINER
    # With 1 vCPU it sells from 2 GB on.
    assert (TASK["cpu"], TASK["memory"]) == ("1024", "2048")


def test_service_budget_policy_and_autoscaler_mean_the_pods_of_the_deployment() -> None:
    labels = POD["metadata"]["labels"]
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    target = OBJECTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (
        "Deployment",
        OBJECTS["Deployment"]["metadata"]["name"],
    )
    (port,) = OBJECTS["Service"]["spec"]["ports"]
    assert port["targetPort"] == POD_CONTAINER["ports"][0]["name"]


def test_a_share_of_the_cpu_can_be_computed_since_pods_request_some() -> None:
    # Without a request the autoscaler has no utilization to compare, and never acts.
    assert POD_CONTAINER["resources"]["requests"]["cpu"] == "1"
    assert "replicas" not in OBJECTS["Deployment"]["spec"]


def test_the_parts_of_the_ecs_recipe_name_each_other() -> None:
    service, scaling = load(ECS / "service.json"), load(ECS / "scaling.json")
    assert service["taskDefinition"] == TASK["family"]
    (balancer,) = service["loadBalancers"]
    assert balancer["containerName"] == TASK_CONTAINER["name"]
    assert balancer["containerPort"] == TASK_CONTAINER["portMappings"][0]["containerPort"]
    assert scaling["ResourceId"] == f"service/{service['cluster']}/{service['serviceName']}"
