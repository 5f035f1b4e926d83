export const certificate = () => {};
