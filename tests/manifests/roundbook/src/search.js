export const jql = () => {};
