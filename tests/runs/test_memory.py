"""Free memory, within a container's limit."""

from cxr_keras.runs import memory


def test_a_container_s_limit_counts_and_its_cached_pages_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    machine = memory.free_memory()
    assert machine > 0
    for name, text in (("memory.max", "1000000\n"), ("memory.current", "700000\n"), ("memory.stat", "anon 5\ninactive_file 200000\n")):
        (tmp_path / name).write_text(text)
    assert memory.free_memory() == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() > 500_000
