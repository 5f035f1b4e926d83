/// Copies a project to the search index.
pub async fn reindex(
    Args(work): Args<Reindex>,
    State(index): State<Index>,
) -> Result<()> {
    let _ = (work, index);
    Ok(())
}
::forge_remote::__private::job! {
    [] [pub] __forge_remote_annotated_free_function_reindex reindex "reindex" "reindex"
    "Copies a project to the search index."
    ""::forge_remote::__private::JobPolicy::DEFAULT.with_retries(3u32)
    .with_timeout_seconds(600u64).with_per_installation(1u32), [Args < Reindex >]
    mount_2(reindex, < forge_remote_probe < Args < Reindex > >>::forge_remote_part(), <
    forge_remote_probe < State < Index > >>::forge_remote_last(), < forge_remote_probe <
    Result < () > >>::forge_remote_reply)
}
