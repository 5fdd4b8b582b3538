/* What an optimiser does with a number of a parameter, or with a vector of them. Comes after blocks.h. */
#ifndef SPARSE_AE_RULES_H
#define SPARSE_AE_RULES_H

namespace sparse_ae {

/* As Simd, of one number. */
template <typename T> struct Scalar {
    typedef T vec;
    static T root(T x) { return std::sqrt(x); }
};

/* A rule moves x along its gradient d, and the KEPT of two numbers that it keeps of x; V is Simd or Scalar. It is made
   of NUMBERS numbers, the step first.

   SGD: x -= step d */
template <typename T> struct Sgd {
    enum { KEPT = 0, NUMBERS = 1 };
    T step;
    explicit Sgd(const double *numbers) : step((T)numbers[0]) {}
    template <typename V>
    void move(typename V::vec &x, typename V::vec &, typename V::vec &, const typename V::vec &d) const
    {
        x -= step * d;
    }
};

/* Adagrad: squares += d^2, x -= step d / sqrt(squares + epsilon) */
template <typename T> struct Adagrad {
    enum { KEPT = 1, NUMBERS = 2 };
    T step, epsilon;
    explicit Adagrad(const double *numbers) : step((T)numbers[0]), epsilon((T)numbers[1]) {}
    template <typename V>
    void move(typename V::vec &x, typename V::vec &squares, typename V::vec &, const typename V::vec &d) const
    {
        squares += d * d;
        x -= step * d / V::root(squares + epsilon);
    }
};

/* Adam: means = beta1 means + (1 - beta1) d, squares likewise of d^2, x -= step means / (sqrt(squares) + epsilon) */
template <typename T> struct Adam {
    enum { KEPT = 2, NUMBERS = 4 };
    T step, beta1, beta2, epsilon, rest1, rest2;
    explicit Adam(const double *numbers)
        : step((T)numbers[0]), beta1((T)numbers[1]), beta2((T)numbers[2]), epsilon((T)numbers[3]),
          rest1((T)(1 - numbers[1])), rest2((T)(1 - numbers[2]))
    {
    }
    template <typename V>
    void move(typename V::vec &x, typename V::vec &means, typename V::vec &squares, const typename V::vec &d) const
    {
        means = beta1 * means + rest1 * d;
        squares = beta2 * squares + rest2 * (d * d);
        x -= step * means / (V::root(squares) + epsilon);
    }
};

/* One parameter on its way out, and the numbers of its update; a sink reads those that it needs. */
template <typename T> struct Goal {
    T *values, *kept[2];  /* what an optimiser keeps is of the parameter's shape */
    double step, decay;
    const double *numbers;  /* of the rule */
};

/* A parameter that a rule moves, and what is kept of it. */
template <typename T, typename Rule> struct Moved {
    T *values, *kept[2];
    Rule rule;

    explicit Moved(const Goal<T> &goal) : values(goal.values), rule(goal.numbers)
    {
        for (int i = 0; i < 2; i++) kept[i] = goal.kept[i];
    }
    /* From one number on; a local copy, so that no store can change its pointers. */
    Moved from(npy_intp first) const
    {
        Moved here(*this);
        here.values += first;
        for (int i = 0; i < Rule::KEPT; i++) here.kept[i] += first;
        return here;
    }
    void move(npy_intp i, T d) const
    {
        T first = Rule::KEPT > 0 ? kept[0][i] : T(0), second = Rule::KEPT > 1 ? kept[1][i] : T(0);
        rule.template move<Scalar<T> >(values[i], first, second, d);
        if (Rule::KEPT > 0) kept[0][i] = first;
        if (Rule::KEPT > 1) kept[1][i] = second;
    }
};

}  // namespace sparse_ae

#endif
