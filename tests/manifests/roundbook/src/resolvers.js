export const jira = () => {};
export const admin = () => {};
export const gadgets = () => {};
export const confluence = () => {};
export const portal = () => {};
