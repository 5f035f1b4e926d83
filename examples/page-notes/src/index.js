import { invokeRemote } from "@forge/api";

/** Returns the page's notes as an Atlassian document, for the export of the page. */
export async function exportNotes(payload) {
  const response = await invokeRemote("page-notes-backend", {
    path: "/export",
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ pageId: payload.context.content.id }),
  });
  const notes = response.ok ? await response.json() : [];
  const content = notes.map(({ author, text }) => ({
    type: "paragraph",
    content: [{ type: "text", text: `${author}: ${text}` }],
  }));
  return { type: "doc", version: 1, content };
}
